/** The texts of --help of the commands that look after a cluster's stored data. */

export const REWRITE_USAGE = `Usage:
    transit-bridge rewrite --encryption-config FILE [--dry-run] [OPTIONS]
    transit-bridge rewrite --resources LIST [--dry-run] [OPTIONS]

Re-encrypt what is stored under an old key, or in plaintext: each object is
written anew by the API server, by a change of nothing that names the state it
was seen in. If somebody else changes the object first, theirs stays.

It refuses to begin while API servers disagree on the key, for that would make
new data old. Interrupted at any time, the same command goes on.

Options:
    --encryption-config FILE Rewrite all resources that this file names, the
                             one of the API server.
    --resources LIST         Rewrite these: secrets,configmaps,NAME.GROUP
    --kubeconfig FILE        The cluster. By default $KUBECONFIG, ~/.kube/config
                             or the service account of the pod.
    --context NAME           A context of it. By default the current one.
    --api-server URL         Address of one API server; once for each of them.
                             By default the endpoints of Service kubernetes.
    --plugin URL             Admin address of a plugin, to ask it, too; once for
                             each: http://192.0.2.10:9390
    --configs-may-differ     The API servers' EncryptionConfigurations are
                             meant to differ, in the path of a socket.
    --method METHOD          patch, migration (StorageVersionMigration) or auto:
                             migration where a controller does it. Default: auto
    --rate N                 Objects a second, at most. Default: 200
    --patience DURATION      How long a failing request is tried. Default: 2m
    --state FILE             Where it keeps how far it is. By default a file of
                             the cluster in $XDG_STATE_HOME/transit-bridge.
    --dry-run                Check everything, count, and change nothing.
    --endpoints LIST         Of etcd, as for verify: then etcd has the last
                             word at the end. With it go:
    --cacert FILE            Authority of etcd's certificate.
    --cert FILE              Client certificate for etcd.
    --key FILE               Its key.
    --user NAME              User of etcd.
    --password-file FILE     Its password.
    --etcd-prefix PREFIX     As the API server's. Default: /registry
    -h, --help               Print this text.

Exit code: 0 all is rewritten, 1 it is not, 2 wrong usage or configuration.

Example:
    $ transit-bridge rewrite --kubeconfig /etc/kubernetes/admin.conf \\
          --encryption-config /etc/kubernetes/encryption.yaml --dry-run`

export const ROTATE_USAGE = `Usage:
    transit-bridge rotate --config FILE --encryption-config FILE [--plan]
        [OPTIONS]
    transit-bridge rotate --config FILE --resources LIST [--plan] [OPTIONS]

Rotate the key, to the end: check the cluster, make a new version in Vault (or
notice that there is one), wait until every plugin and API server uses it,
rewrite everything, verify by etcd, say which versions are still needed, and
give older ones up if you say so. Ended at any time, the same command goes on.

It needs the token of an operator of Vault (VAULT_TOKEN, BAO_TOKEN, --token-file
or ~/.vault-token) that may read, rotate and configure the key: the plugin's own
role may not.

Options:
    --config FILE            The plugin's configuration: Vault, key, cluster.
    --token-file FILE        The operator's token.
    --encryption-config FILE Rewrite all resources that this file names, the
                             one of the API server.
    --resources LIST         Rewrite these: secrets,configmaps,NAME.GROUP
    --kubeconfig FILE        The cluster. By default $KUBECONFIG, ~/.kube/config
                             or the service account of the pod.
    --context NAME           A context of it. By default the current one.
    --api-server URL         Address of one API server; once for each of them.
                             By default the endpoints of Service kubernetes.
    --plugin URL             Admin address of a plugin; once for each of them:
                             http://192.0.2.10:9390
    --configs-may-differ     The API servers' EncryptionConfigurations are
                             meant to differ, in the path of a socket.
    --endpoints LIST         Of etcd, as for verify. Without it nothing is
                             proven, and nothing given up. With it go:
    --cacert FILE            Authority of etcd's certificate.
    --cert FILE              Client certificate for etcd.
    --key FILE               Its key.
    --user NAME              User of etcd.
    --password-file FILE     Its password.
    --etcd-prefix PREFIX     As the API server's. Default: /registry
    --backup SNAPSHOT        An etcd snapshot that must stay readable; once for
                             each of them.
    --skip-hash-check        Accept a --backup without a checksum: objects may
                             be missing from it.
    --finish                 Take the latest version as it is: finish a rotation
                             that Vault or somebody made.
    --plan                   Show the steps, and where it is. Change nothing.
    --rate N                 Objects a second, at most. Default: 200
    --patience DURATION      How long plugins and API servers are waited for.
                             Default: 15m
    --state DIR              Where it keeps how far it is. By default
                             $XDG_STATE_HOME/transit-bridge.
    --yes-raise-min-decryption-version N
                             Give up versions below N, without a question, if
                             neither etcd nor a --backup needs them.
    -h, --help               Print this text.

Exit code: 0 the rotation is done, 1 it is not, 2 wrong usage or configuration.

Example:
    $ transit-bridge rotate --config /etc/transit-bridge/config.yaml \\
          --kubeconfig /etc/kubernetes/admin.conf \\
          --encryption-config /etc/kubernetes/encryption.yaml --plan`

export const STATUS_USAGE = `Usage:
    transit-bridge status [--config FILE] [OPTIONS]

Say at a glance how the cluster's encryption is: plugins and API servers with
their health, key, key version and token life; the key in Vault and when it is
to be rotated; what share of the objects in etcd is under which version.

Options:
    --config FILE            The plugin's configuration: then Vault is asked
                             about the key, with an operator's token.
    --token-file FILE        That token. By default VAULT_TOKEN, BAO_TOKEN or
                             ~/.vault-token.
    --kubeconfig FILE        The cluster. By default $KUBECONFIG, ~/.kube/config
                             or the service account of the pod.
    --context NAME           A context of it. By default the current one.
    --api-server URL         Address of one API server; once for each of them.
                             By default the endpoints of Service kubernetes.
    --plugin URL             Admin address of a plugin; once for each of them:
                             http://192.0.2.10:9390
    --configs-may-differ     The API servers' EncryptionConfigurations are
                             meant to differ, in the path of a socket.
    --rotate-every DURATION  How often you mean to rotate, as 90d, where Vault
                             does not do it by itself.
    --encryption-config FILE Which resources are to be encrypted.
    --endpoints LIST         Of etcd, as for verify. With it go:
    --cacert FILE            Authority of etcd's certificate.
    --cert FILE              Client certificate for etcd.
    --key FILE               Its key.
    --user NAME              User of etcd.
    --password-file FILE     Its password.
    --etcd-prefix PREFIX     As the API server's. Default: /registry
    --json                   Print one JSON object.
    -h, --help               Print this text.

Exit code: 0 all is well, 1 it is not, 2 wrong usage or configuration.

Example:
    $ transit-bridge status --kubeconfig /etc/kubernetes/admin.conf \\
          --plugin http://192.0.2.10:9390 --plugin http://192.0.2.11:9390`

export const AUDIT_USAGE = `Usage:
    transit-bridge audit FILE... [--key NAME] [--events] [--json]

Join audit files of Vault or OpenBao with logs of plugins, by the uid that each
request carries: who used which key, when, from which node, with what result.
What gives something away (decrypt, rewrap, datakey, export, backup) and was
asked for by no plugin among the files stands out.

The files may be given in any order; each is read twice, a line at a time. The
plugins must log at level debug, and Vault must write the header
X-Transit-Bridge-UID to its audit device, as setup tells it to. A plugin's node
is told by the name of its file.

Options:
    --key NAME       Only this key.
    --events         Print every use, not only what stands out and the sums.
    --json           Print one JSON object a line: the uses, then the summary.
    -h, --help       Print this text.

Exit code: 0 nothing stands out, 1 something does, 2 wrong usage.

Example:
    $ transit-bridge audit audit.log node-1.log node-2.log --key k8s-etcd`

export const DRILL_USAGE = `Usage:
    transit-bridge drill backup SNAPSHOT --config FILE
    transit-bridge drill outage --plugin URL --drill-token FILE
    transit-bridge drill restore SNAPSHOT --config FILE

Rehearse the bad day, with a written result.

Commands:
    backup           Is a snapshot encrypted, and can today's Vault read it.
    outage           Take Vault away from a plugin, and see what happens.
    restore          The order of a restore into a new cluster, step by step.

Options:
    -h, --help       Print this text, or the one of a command.`

export const DRILL_BACKUP_USAGE = `Usage:
    transit-bridge drill backup SNAPSHOT --config FILE [OPTIONS]

Read every object of an etcd snapshot by today's Vault, as after a restore: is
it encrypted, which versions of the key does it need, can all of it be read. No
value is printed, and nothing is changed.

Options:
    --config FILE            The plugin's configuration.
    --etcd-prefix PREFIX     As the API server's. Default: /registry
    --skip-hash-check        Accept a snapshot without a checksum: objects may
                             be missing from it.
    --encryption-config FILE Which resources must be encrypted.
    --allow LIST             Resources that may be plaintext.
    --json                   Print one JSON object, that of verify.
    -h, --help               Print this text.

Exit code: 0 all can be read, 1 it cannot, 2 wrong usage or configuration.

Example:
    $ transit-bridge drill backup backup.db --config config.yaml`

export const DRILL_OUTAGE_USAGE = `Usage:
    transit-bridge drill outage --plugin URL --drill-token FILE
        --i-know-this-can-stop-the-api-server [OPTIONS]

Take Vault away from one plugin for a while and write down, once a second, what
its API server does: readiness, writes, reads, and how long recovery takes. It
runs on the plugin's node and needs admin.drill in the plugin's configuration;
Vault itself and the other nodes notice nothing. The result is Markdown.

Options:
    --plugin URL             Admin address of the plugin: http://127.0.0.1:9390
    --drill-token FILE       A copy of admin.drill.tokenFile.
    --for DURATION           How long Vault is away. Default: 1m
    --kubeconfig FILE        The cluster.
    --context NAME           A context of it.
    --api-server URL         The API server that the plugin serves.
    --namespace NAME         Where a Secret is written. Default: default
    --i-know-this-can-stop-the-api-server
                             Say that this cluster may be broken.
    --json                   Print one JSON object.
    -h, --help               Print this text.

Exit code: 0 all works again, 1 it does not, 2 wrong usage or configuration.

Example:
    $ transit-bridge drill outage --plugin http://127.0.0.1:9390 \\
          --api-server https://127.0.0.1:6443 --drill-token drill-token \\
          --for 4m --i-know-this-can-stop-the-api-server > rehearsal.md`

export const DRILL_RESTORE_USAGE = `Usage:
    transit-bridge drill restore SNAPSHOT --config FILE [OPTIONS]

The order of a restore into a new cluster, with each step checked as far as it
can be: the Transit key, kms.alsoDecryptClusters, the snapshot, the plugins, the
new etcd. It changes nothing; run it again after each step.

Options:
    --config FILE            The configuration of the new cluster's plugins.
    --plugin URL             Admin address of a plugin; once for each of them.
    --endpoints LIST         Of the new etcd, as for verify. With it go:
    --cacert FILE            Authority of etcd's certificate.
    --cert FILE              Client certificate for etcd.
    --key FILE               Its key.
    --user NAME              User of etcd.
    --password-file FILE     Its password.
    --etcd-prefix PREFIX     As the API server's. Default: /registry
    --json                   Print one JSON object.
    -h, --help               Print this text.

Exit code: 0 nothing that was looked at is left to do, 1 something is, 2 wrong
usage or configuration.

Example:
    $ transit-bridge drill restore backup.db --config new-cluster.yaml`
