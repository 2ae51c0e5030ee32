#!/bin/sh
# The init process of a node: sets up network and folders, starts what systemd would start, and restarts it whenever it ends.
# It runs as process 1 of namespaces for mounts, network and processes; killing it ends everything at once.
# Files in $NODE/disk stay, as on a disk. Variables come from test/real/cluster/kube-node.ts.
set -eu

mount --make-rprivate /
mkdir -p "$NODE/disk/etc" "$NODE/disk/work" "$NODE/disk/lib" "$NODE/log"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$NODE/disk/etc,workdir=$NODE/disk/work" /etc
mount --bind "$NODE/disk/lib" /var/lib
mount -t tmpfs tmpfs /var/log
mount -t tmpfs tmpfs /run
mkdir -p /etc/kubernetes/manifests /var/log/pods

ip link set lo up
ip link add node0 type bridge
ip addr add "$NODE_ADDRESS/32" dev node0
ip addr add "$SERVICE_ADDRESS/32" dev node0
ip link set node0 up
ip route add default dev node0 src "$NODE_ADDRESS"
echo 1 > /proc/sys/net/ipv4/ip_forward

keep() {
  name=$1
  shift
  while :; do
    "$@" >> "$NODE/log/$name.log" 2>&1 || true
    sleep 0.5
  done &
}

# What the unit of "transit-bridge setup node-key" does before the kubelet starts: there is no systemd here.
credential=/etc/credstore.encrypted/transit-bridge-node-key
if [ -f "$credential" ]; then
  mkdir -m 0700 /run/transit-bridge-node-key
  (umask 0377 && systemd-creds decrypt --name=node-key "$credential" /run/transit-bridge-node-key/key)
fi

keep containerd containerd --config "$NODE/containerd.toml"
# Commands with their arguments, or nothing where the kubelet runs them as static pods.
# shellcheck disable=SC2086
[ -z "${ETCD:-}" ] || keep etcd $ETCD
# shellcheck disable=SC2086
[ -z "${KUBE_APISERVER:-}" ] || keep kube-apiserver $KUBE_APISERVER
keep kube-controller-manager "$KUBE_CONTROLLER_MANAGER" --kubeconfig="$NODE/admin.kubeconfig" --leader-elect=false \
  --use-service-account-credentials=true --service-account-private-key-file="$NODE/sa.key" --root-ca-file="$TLS_CA"
keep kube-scheduler "$KUBE_SCHEDULER" --kubeconfig="$NODE/admin.kubeconfig" --leader-elect=false
keep kubelet "$KUBELET" --config="$NODE/kubelet.yaml" --kubeconfig="$NODE/kubelet.kubeconfig" \
  --hostname-override=node-1 --node-ip="$NODE_ADDRESS" --cert-dir=/var/lib/kubelet/pki
# The way to and from the network outside: unix sockets know no network namespace.
keep api "$NODE_JS" "$FORWARD" "unix:$NODE/api.sock" tcp:127.0.0.1:443
[ -f "$NODE/vault-inside" ] || keep vault "$NODE_JS" "$FORWARD" tcp:127.0.0.1:8200 "unix:$NODE/vault.sock"
wait
