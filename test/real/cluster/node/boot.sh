#!/bin/sh
# A node of its own, as its init: network, folders, and what systemd would start, started again whenever it ends.
# It runs as process 1 of namespaces for mounts, network and processes; when it is killed, all is gone at once.
# What is below $NODE/disk stays, as on a disk. Variables come from test/real/cluster/kube-node.ts.
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

encryption=
[ ! -f "$NODE/encryption.yaml" ] || encryption=--encryption-provider-config=$NODE/encryption.yaml

keep containerd containerd --config "$NODE/containerd.toml"
keep etcd "$ETCD" --data-dir "$NODE/disk/etcd" --log-level warn
# shellcheck disable=SC2086
keep kube-apiserver "$KUBE_APISERVER" --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --secure-port=443 \
  --advertise-address="$NODE_ADDRESS" --service-cluster-ip-range="$SERVICE_RANGE" --endpoint-reconciler-type=lease \
  --tls-cert-file="$TLS_CERT" --tls-private-key-file="$TLS_KEY" --token-auth-file="$NODE/tokens.csv" \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
  --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$NODE/sa.pub" \
  --service-account-signing-key-file="$NODE/sa.key" --kubelet-preferred-address-types=InternalIP \
  --shutdown-delay-duration=0s $encryption
keep kube-controller-manager "$KUBE_CONTROLLER_MANAGER" --kubeconfig="$NODE/admin.kubeconfig" --leader-elect=false \
  --use-service-account-credentials=true --service-account-private-key-file="$NODE/sa.key" --root-ca-file="$TLS_CA"
keep kube-scheduler "$KUBE_SCHEDULER" --kubeconfig="$NODE/admin.kubeconfig" --leader-elect=false
keep kubelet "$KUBELET" --config="$NODE/kubelet.yaml" --kubeconfig="$NODE/kubelet.kubeconfig" \
  --hostname-override=node-1 --node-ip="$NODE_ADDRESS" --cert-dir=/var/lib/kubelet/pki
# The way to and from the network outside: unix sockets know no network namespace.
keep api "$NODE_JS" "$FORWARD" "unix:$NODE/api.sock" tcp:127.0.0.1:443
keep vault "$NODE_JS" "$FORWARD" tcp:127.0.0.1:8200 "unix:$NODE/vault.sock"
wait
