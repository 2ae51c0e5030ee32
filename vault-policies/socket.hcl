# What pods with one Vault role may do at run time through the socket of a volume (csi.runtime), and nothing more. Write one
# such policy for each role, and attach it to the role of the auth method (csi.auth.mount) that volumeAttributes.role names.
# Replace "transit" if csi.mount differs, and "app-data" and "app-signing" with your keys. Remove what the pods do not need.
# csi.rules must also allow each operation.

# encrypt. Only "update": with "create", encrypting with a key that does not exist would create it.
path "transit/encrypt/app-data" {
  capabilities = ["update"]
}

# decrypt
path "transit/decrypt/app-data" {
  capabilities = ["update"]
}

# rewrap: encrypts a ciphertext again with the latest key version, without returning the plaintext.
path "transit/rewrap/app-data" {
  capabilities = ["update"]
}

# dataKey: new data keys, with or without their plaintext.
path "transit/datakey/+/app-data" {
  capabilities = ["update"]
}

# sign and verify, also with a hash algorithm at the end of the path.
path "transit/sign/app-signing" {
  capabilities = ["update"]
}

path "transit/sign/app-signing/+" {
  capabilities = ["update"]
}

path "transit/verify/app-signing" {
  capabilities = ["update"]
}

path "transit/verify/app-signing/+" {
  capabilities = ["update"]
}

# hmac
path "transit/hmac/app-data" {
  capabilities = ["update"]
}

path "transit/hmac/app-data/+" {
  capabilities = ["update"]
}

# keyInfo: versions and public keys, never secret keys. To list keys, too, add the path "transit/keys" with "list".
path "transit/keys/app-signing" {
  capabilities = ["read"]
}

# random and hash use no key.
path "transit/random" {
  capabilities = ["update"]
}

path "transit/random/*" {
  capabilities = ["update"]
}

path "transit/hash" {
  capabilities = ["update"]
}

path "transit/hash/+" {
  capabilities = ["update"]
}
