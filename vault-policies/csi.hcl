# What pods with one Vault role may do through the CSI provider, and no more. Write one such policy for each role
# and give it to the role of the auth method (csi.auth.mount) that a SecretProviderClass names.
# Change "transit" where csi.mount is another one, and "app-data", "app-signing", "app-exported" to your keys.

# publicKey, jwks, keyInfo and exportedKey: versions, creation times and public keys; never key material.
path "transit/keys/app-signing" {
  capabilities = ["read"]
}

# decrypt and dataKey. "update" only; a pod needs nothing else of a key to have its values.
path "transit/decrypt/app-data" {
  capabilities = ["update"]
}

# exportedKey alone, and it hands out key material: leave these two away where nobody uses that type.
# encryption-key is for AES and ChaCha keys, signing-key for RSA, ECDSA and Ed25519, hmac-key for HMAC.
path "transit/keys/app-exported" {
  capabilities = ["read"]
}

path "transit/export/+/app-exported" {
  capabilities = ["read"]
}

path "transit/export/+/app-exported/+" {
  capabilities = ["read"]
}
