# What the KMS plugin may do, and nothing more: encrypt and decrypt with one key, and read that key's versions.
# Replace "transit" and "k8s-etcd" if transit.mount and transit.key differ.

# Only "update": with "create", an encrypt with a misspelled key name would silently create a key.
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
