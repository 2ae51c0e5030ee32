# What the KMS plugin may do, and no more: wrap and unwrap with one key, and read that key's versions.
# Change "transit" and "k8s-etcd" where transit.mount and transit.key are others.

# "update" only. With "create", an encrypt with a misspelt key name would silently make a new key.
path "transit/encrypt/k8s-etcd" {
  capabilities = ["update"]
}

path "transit/decrypt/k8s-etcd" {
  capabilities = ["update"]
}

# Versions and their creation times; never key material.
path "transit/keys/k8s-etcd" {
  capabilities = ["read"]
}
