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
    --encryption-config FILE  Rewrite all resources that this file names, the
                              one of the API server.
    --resources LIST          Rewrite these: secrets,configmaps,NAME.GROUP
    --kubeconfig FILE         The cluster. By default $KUBECONFIG, ~/.kube/config
                              or the service account of the pod.
    --context NAME            A context of it. By default the current one.
    --api-server URL          Address of one API server; once for each of them.
                              By default the endpoints of Service kubernetes.
    --plugin URL              Admin address of a plugin, to ask it, too; once for
                              each: http://192.0.2.10:9390
    --configs-may-differ      The EncryptionConfigurations of the API servers are
                              meant to differ, in the path of a socket.
    --method METHOD           patch, migration (StorageVersionMigration) or auto:
                              migration where a controller does it. Default: auto
    --rate N                  Objects a second, at most. Default: 200
    --patience DURATION       How long a failing request is tried. Default: 2m
    --state FILE              Where it keeps how far it is. By default a file of
                              the cluster in $XDG_STATE_HOME/transit-bridge.
    --dry-run                 Check everything, count, and change nothing.
    --endpoints LIST          Of etcd, as for verify: then etcd has the last word
                              at the end. With it go:
    --cacert FILE             Authority of etcd's certificate.
    --cert FILE               Client certificate for etcd.
    --key FILE                Its key.
    --user NAME               User of etcd.
    --password-file FILE      Its password.
    --etcd-prefix PREFIX      As the API server's. Default: /registry
    -h, --help                Print this text.

Exit code: 0 all is rewritten, 1 it is not, 2 wrong usage or configuration.

Example:
    $ transit-bridge rewrite --kubeconfig /etc/kubernetes/admin.conf \\
          --encryption-config /etc/kubernetes/encryption.yaml --dry-run`
