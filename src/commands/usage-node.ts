/** The texts of --help of the commands that the Helm chart runs. */

export const INSTALL_NODE_USAGE = `Usage:
    transit-bridge install-node --config FILE --image IMAGE [--token FILE]
        [--ca FILE] [--root DIR] [--host-config FILE] [--manifests DIR]
        [--interval DURATION] [--listen HOST:PORT] [--once] [--remove]

Put the KMS plugin on this node as a static pod, and keep its files fresh until
SIGTERM: configuration, Vault's CA, a service-account token, and the manifest.
A stop leaves them where they are, since an API server depends on them. Nothing
else in the folder of static pods is touched, and a configuration or a token
that is of no use never takes the place of what the node has.

Options:
    --config FILE        The plugin's configuration. The paths in it are paths
                         of the host.
    --image IMAGE        The image of the static pod.
    --token FILE         Service-account token that the kubelet keeps fresh; it
                         becomes the host's vault.auth.tokenFile.
    --ca FILE            Becomes the host's vault.caFile.
    --root DIR           Where the host's folders are mounted. By default /.
    --host-config FILE   Where the host has the configuration. By default
                         /etc/transit-bridge/config.yaml.
    --manifests DIR      The kubelet's folder of static pods. By default
                         /etc/kubernetes/manifests.
    --interval DURATION  How often the host is looked at, beside at each change
                         of a source. By default 30s.
    --listen HOST:PORT   For /livez, /readyz and /metrics. /readyz is 200 when
                         the plugin serves its socket. By default 0.0.0.0:9391.
    --once               Do it once, print what changed, and end.
    --remove             Take off the host what was put there, in place of
                         putting it there.
    -h, --help           Print this text.

Example:
    $ transit-bridge install-node --once --config config.yaml \\
          --image transit-bridge:1.0.0 --token /run/token`

export const RETIRE_NODES_USAGE = `Usage:
    transit-bridge retire-nodes --daemonset NAMESPACE/NAME [--timeout DURATION]

Have every installer of a DaemonSet take off its node what it put there, and
wait until all have. It runs in a pod; the chart does so before a release is
removed, if kms.removeOnUninstall says so.

Options:
    --daemonset NAMESPACE/NAME  The installers.
    --timeout DURATION          How long to wait. By default 4m.
    -h, --help                  Print this text.`

export const ROUND_TRIP_USAGE = `Usage:
    transit-bridge round-trip --socket FILE

Do with the plugin behind a unix socket what kube-apiserver does: ask for its
status, have something encrypted, and have it decrypted again.

Options:
    --socket FILE    The socket, as kms.socket has it.
    -h, --help       Print this text.

Example:
    $ transit-bridge round-trip --socket /run/transit-bridge/kms.sock`

export const PROBE_USAGE = `Usage:
    transit-bridge probe --socket FILE

Check that the plugin or the provider behind a unix socket answers. It asks
nothing of Vault, and needs no network: the kubelet runs it as the startup and
liveness probe. The exit code is 0 when it answers.

Options:
    --socket FILE    The socket, as in kms.socket or csi.socket.
    -h, --help       Print this text.

Example:
    $ transit-bridge probe --socket /run/transit-bridge/kms.sock`
