/** The texts of --help, as they are printed. The tests hold them against the options that commands take. */

export const USAGE = `Usage:
    transit-bridge kms --config FILE
    transit-bridge csi --config FILE
    transit-bridge csi check FILE [--config FILE]
    transit-bridge config check --config FILE [--json]
    transit-bridge config schema
    transit-bridge config encryption (--config FILE | --check FILE) [OPTIONS]
    transit-bridge config node --shape SHAPE --config FILE
    transit-bridge setup --config FILE [OPTIONS]
    transit-bridge doctor --config FILE [OPTIONS]
    transit-bridge install-node --config FILE --image IMAGE [OPTIONS]
    transit-bridge retire-nodes --daemonset NAMESPACE/NAME
    transit-bridge round-trip --socket FILE
    transit-bridge probe --socket FILE
    transit-bridge verify [--snapshot FILE] [OPTIONS]
    transit-bridge rewrite --encryption-config FILE [OPTIONS]
    transit-bridge rotate --config FILE --encryption-config FILE [OPTIONS]
    transit-bridge status [--config FILE] [OPTIONS]
    transit-bridge audit FILE... [OPTIONS]
    transit-bridge drill backup|outage|restore [OPTIONS]
    transit-bridge help [COMMAND]

Vault or OpenBao Transit as the key manager of a Kubernetes cluster.

Commands:
    kms              Serve the KMS v2 plugin that the API server calls.
    csi              Serve the provider that the Secrets Store CSI driver calls.
    csi check        Say what is wrong with SecretProviderClass manifests.
    config check     Say whether a configuration is right, and what would run.
    config schema    Print the JSON Schema of the configuration.
    config encryption
                     Print or check an EncryptionConfiguration.
    config node      Print the files that make a node run the plugin.
    setup            Make Vault ready, or show what would change in it.
    doctor           Say what works on this node, and what to mend.
    install-node     Put the KMS plugin on this node, and keep its files fresh.
    retire-nodes     Take it off all nodes, before a Helm release is removed.
    round-trip       Ask a plugin what kube-apiserver asks it.
    probe            Check that a plugin or a provider answers on its socket.
    verify           Prove from etcd, or a snapshot of it, that all is encrypted.
    rewrite          Re-encrypt what is stored under an old key, or in plaintext.
    rotate           Rotate the key, to the end: from Vault to the last object.
    status           Plugins, API servers, key and stored data at a glance.
    audit            Join Vault's audit files with logs of plugins, by uid.
    drill            Rehearse the bad day: a backup, an outage, a restore.
    help             Print this text, or the one of a command.

Options:
    -h, --help       Print this text, or the one of a command.
    --version        Print the version.

Exit code: 0 stopped as asked, 1 failed, 2 wrong usage or configuration.

Example:
    $ transit-bridge config check --config /etc/transit-bridge/config.yaml
    $ transit-bridge kms --config /etc/transit-bridge/config.yaml`

export const KMS_USAGE = `Usage:
    transit-bridge kms --config FILE

Serve the KMS v2 plugin on a unix socket, until SIGTERM or SIGINT.

It starts whether or not Vault answers: until it does, the API server is told
the reason in words. Only a wrong configuration ends the program, with code 2.

Options:
    --config FILE    The configuration, in YAML; it needs the section kms.
    -h, --help       Print this text.

Example:
    $ transit-bridge kms --config /etc/transit-bridge/config.yaml`

export const CSI_USAGE = `Usage:
    transit-bridge csi --config FILE
    transit-bridge csi check FILE [--config FILE]

Serve the provider for the Secrets Store CSI driver (1.6.0 or newer) on a unix
socket, until SIGTERM or SIGINT. Pods get what Transit's keys make, as files,
under their own identity: public keys, JWKS, data keys, decrypted values.

It starts whether or not Vault answers. Only a wrong configuration ends the
program, with code 2.

Commands:
    check            Say what is wrong with SecretProviderClass manifests.

Options:
    --config FILE    The configuration, in YAML; it needs the section csi.
    -h, --help       Print this text.

Example:
    $ transit-bridge csi --config /etc/transit-bridge/config.yaml`

export const CSI_CHECK_USAGE = `Usage:
    transit-bridge csi check FILE [--config FILE] [--namespace NAME]
                             [--service-account NAME] [--json]

Say what is wrong with the SecretProviderClass manifests in a file, without a
cluster: all faults at once, one a line. FILE may hold several documents, of
which those of other kinds and providers are passed over; - is standard input.

    FILE:LINE: objects[1].key: is missing; the name of a transit key

With --config it also says what csi.rules do not allow.

Options:
    --config FILE             The configuration of the provider, in YAML.
    --namespace NAME          Namespace of the pods. By default that of the
                              manifest, else default. Needs --config.
    --service-account NAME    Service account of the pods. By default default.
                              Needs --config.
    --json                    Print one JSON object: file, ok, classes, faults.
    -h, --help                Print this text.

Exit code: 0 nothing is wrong, 1 something is, 2 wrong usage or configuration.

Example:
    $ transit-bridge csi check web.yaml --namespace shop \\
          --service-account web --config /etc/transit-bridge/config.yaml
    $ helm template . | transit-bridge csi check -`

export const CONFIG_USAGE = `Usage:
    transit-bridge config check --config FILE [--json]
    transit-bridge config schema
    transit-bridge config encryption (--config FILE | --check FILE) [OPTIONS]
    transit-bridge config node --shape SHAPE --config FILE

Commands:
    check            Say whether a configuration is right, and what would run.
    schema           Print the JSON Schema of the configuration.
    encryption       Print or check an EncryptionConfiguration.
    node             Print the files that make a node run the plugin.

Options:
    -h, --help       Print this text, or the one of a command.`

export const CONFIG_CHECK_USAGE = `Usage:
    transit-bridge config check --config FILE [--json]

Say whether a configuration is right. Prints "FILE: ok" and what would run, or
all that is wrong, one fault a line, and exits with code 2:

    FILE:LINE: vault.auth.role: is missing; role of the auth method to log in as

It asks nobody: neither Vault nor the files that the configuration names. The
variables that the configuration names must be set, as they are for the program.

Options:
    --config FILE    The configuration, in YAML.
    --json           Print one JSON object: file, ok, and faults or summary.
    -h, --help       Print this text.

Example:
    $ transit-bridge config check --config /etc/transit-bridge/config.yaml`

export const CONFIG_SCHEMA_USAGE = `Usage:
    transit-bridge config schema

Print the JSON Schema (draft 7) of the configuration, for editors and for CI.

Options:
    -h, --help       Print this text.

Example:
    $ transit-bridge config schema > transit-bridge.schema.json

    In the first line of a configuration, for the YAML language server:
    # yaml-language-server: $schema=transit-bridge.schema.json`

export const CONFIG_ENCRYPTION_USAGE = `Usage:
    transit-bridge config encryption --config FILE [--resources LIST]
        [--name NAME] [--timeout DURATION] [--from PROVIDER [--step STEP]]
    transit-bridge config encryption --check FILE [--config FILE] [--json]

Print the EncryptionConfiguration for kube-apiserver, with the plugin's socket
and what to do with the file as comments. Or check one: what kube-apiserver
would refuse (exit code 2), what it takes though it is unsafe (1), one a line:

    refused  FILE:LINE: resources[0].providers[0].kms.cachesize: is not ...

Options:
    --config FILE    The plugin's configuration, for the socket.
    --resources LIST What is encrypted, with commas between. Default: secrets.
    --name NAME      Name of the provider: for good, it is stored with the data.
                     Default: transit-bridge.
    --timeout DURATION
                     Of one call to the plugin. Default: 3s.
    --from PROVIDER  Who encrypts now: identity (nobody), aescbc, secretbox,
                     aesgcm, or kms:NAME=SOCKET for another plugin.
    --step STEP      Step of the move: read (default), write, rewrite, remove.
    --check FILE     Check this file. With --config: is the plugin in it?
    --json           Print one JSON object: file, ok, faults.
    -h, --help       Print this text.

Example:
    $ transit-bridge config encryption --config config.yaml --from aescbc
    $ transit-bridge config encryption --check encryption.yaml`

export const CONFIG_NODE_USAGE = `Usage:
    transit-bridge config node --shape SHAPE --config FILE
        [--host-config FILE] [--image IMAGE] [--program FILE]

Print what makes a node run the plugin, for those who do not use Helm.

Options:
    --shape SHAPE    static-pod, systemd (also for k3s and RKE2) or daemonset.
    --config FILE    The plugin's configuration.
    --host-config FILE
                     Its place on the nodes. Default: the same.
    --image IMAGE    For the pods. Default: transit-bridge:VERSION.
    --program FILE   For systemd. Default: /usr/local/bin/transit-bridge.
    -h, --help       Print this text.

Example:
    $ transit-bridge config node --shape systemd \\
        --config /etc/transit-bridge/config.yaml \\
        > /etc/systemd/system/transit-bridge-kms.service`

export const SETUP_USAGE = `Usage:
    transit-bridge setup --config FILE [KEYS] [--dry-run | --yes] [OPTIONS]
    transit-bridge setup --config FILE --remove [--dry-run | --yes] [OPTIONS]

Make Vault ready for the plugin that a configuration describes: Transit and
its key, the login, role and policy, the audited header. It shows first what
would change, and asks; what is right already is left alone. The token of an
administrator is read from VAULT_TOKEN, BAO_TOKEN or ~/.vault-token.

Keys of the cluster, for vault.auth.method jwt:
    --kubeconfig FILE
                     Ask the cluster's API server.
    --jwks FILE      What kubectl get --raw /openid/v1/jwks prints.
    --service-account-key FILE
                     PEM: kube-apiserver's --service-account-key-file.
    --issuer ISSUER  With the two files: --service-account-issuer.

Options:
    --config FILE    The plugin's configuration.
    --token-file FILE
                     The administrator's token, in a file.
    --service-account NAMESPACE/NAME
                     Who logs in. Default: kube-system/transit-bridge-kms.
    --audience NAME  Of its token. Default: vault.auth.audience, or vault.
    --policy NAME    Default: the name of the role.
    --kubernetes-host URL
                     For method kubernetes. Default: that of --kubeconfig.
    --kubernetes-ca FILE
                     For method kubernetes. Default: that of --kubeconfig.
    --reviewer-token-file FILE
                     For method kubernetes: the service-account token with which
                     Vault asks the API server about each login.
    --no-reviewer-token
                     For method kubernetes: Vault asks with the token of the
                     login, which must then be for the API server's audience.
    --remove         Take away what setup made; never a key.
    --dry-run        Only show what would change.
    --output FORM    With --dry-run: text, hcl (Terraform), commands or json.
    --yes            Do not ask.
    -h, --help       Print this text.

Exit code: 0 done or nothing to do, 1 failed, 2 wrong usage or not confirmed.

Example:
    $ transit-bridge setup --config config.yaml --kubeconfig admin.conf`

export const DOCTOR_USAGE = `Usage:
    transit-bridge doctor --config FILE [--survive DURATION] [--json]
        [--manifest FILE] [--encryption-config FILE] [--peers LIST]

Say line by line what works on this control-plane node and what to mend:

    fail     token lifetime: ends in 50 min; it must last 72h ...; ask for ...

It changes nothing. Exit code 1 when a line says fail, 2 for a configuration
that is wrong.

Options:
    --config FILE    The plugin's configuration.
    --survive DURATION
                     Longest outage of the control plane after which the token
                     must still be good. Default: 72h.
    --manifest FILE  Static pod of kube-apiserver.
                     Default: /etc/kubernetes/manifests/kube-apiserver.yaml.
    --encryption-config FILE
                     Default: what the manifest names.
    --peers LIST     host:port of /readyz of the other nodes, with commas
                     between: do all see the same key?
    --json           Print one JSON object: ok, findings.
    -h, --help       Print this text.

Example:
    $ transit-bridge doctor --config /etc/transit-bridge/config.yaml`

export const VERIFY_USAGE = `Usage:
    transit-bridge verify [ETCD OPTIONS] [OPTIONS]
    transit-bridge verify --snapshot FILE [OPTIONS]

Read etcd itself, or a snapshot of it, and report by resource how objects are
stored: provider, Transit key version, key id, seeds, and what is plain. Reads
only, in pages at one revision. On a node of kubeadm, k3s or RKE2 it finds etcd
and its certificates by itself, and says so.

--encryption-config says which resources must be encrypted. Without it, these
are secrets and every resource with an encrypted object.

Etcd options:
    --endpoints LIST        As etcdctl takes them: https://127.0.0.1:2379,...
    --cacert FILE           The authority of etcd's certificates.
    --cert FILE             The certificate to show, and
    --key FILE              its key.
    --user NAME             The user, where etcd has users, and
    --password-file FILE    the file with the password.
    --rate N                Objects a second at most; by default 5000.

Options:
    --snapshot FILE         What "etcdctl snapshot save" wrote; its checksum is
                            checked. No etcd is needed to read it.
    --skip-hash-check       Accept a snapshot without a checksum, such as a copy
                            of member/snap/db: objects may be missing from it.
    --etcd-prefix PREFIX    The API server's; by default /registry.
    --resources LIST        Read these alone, and expect them to be encrypted:
                            secrets,configmaps,widgets.example.com
    --allow LIST            Resources that may be plaintext.
    --encryption-config FILE
                            The API server's EncryptionConfiguration.
    --deep                  Decrypt every seed through Transit.
    --objects               With --deep: decrypt every object by its seed, too.
                            No value is ever printed.
    --config FILE           With --deep: the configuration of the plugin.
    --json                  Print one JSON object.
    -h, --help              Print this text.

Exit code: 0 proved that everything is encrypted and readable, 1 not proved, 2
wrong usage or configuration.

Example:
    $ transit-bridge verify
    $ transit-bridge verify --snapshot backup.db --deep --objects \\
          --config /etc/transit-bridge/config.yaml`
