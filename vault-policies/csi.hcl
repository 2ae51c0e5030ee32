# What pods with one Vault role may do through the CSI provider, and nothing more. Write one such policy per role, and
# attach it to the role of the auth method (csi.auth.mount) that a SecretProviderClass refers to.
# Replace "transit" if csi.mount or the mount of the class differs, and "app-data", "app-signing", "app-exported" with your
# keys. With several Vault namespaces, each needs its own role and policy (docs/operations/csi-tenants.md).

# publicKey, jwks, certificate, keyInfo and exportedKey: versions, creation times, public keys and certificates; never key material.
path "transit/keys/app-signing" {
  capabilities = ["read"]
}

# decrypt and dataKey. Only "update": a pod needs no other permission to get its values.
path "transit/decrypt/app-data" {
  capabilities = ["update"]
}

# Only for exportedKey, which returns key material: remove these paths if you do not use that type.
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
