// Clients of Transit as other programs use them, for tests. Each subcommand uses one library without changes; the library finds
// Vault by VAULT_ADDR, and the key is the argument.
//
//	transit-clients api KEY           github.com/hashicorp/vault/api
//	transit-clients sigstore KEY      sigstore's hashivault signer, which cosign, Tekton Chains and Kyverno use
//	transit-clients kms-wrapping KEY  go-kms-wrapping's transit wrapper, which seals OpenBao, Vault and Boundary
//
// It prints one line for each step that worked, and exits with 1 at the first that did not.
package main

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/hashicorp/go-hclog"
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	"github.com/hashicorp/go-kms-wrapping/wrappers/transit/v2"
	"github.com/hashicorp/vault/api"
	"github.com/sigstore/sigstore/pkg/signature/kms/hashivault"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

func main() {
	clients := map[string]func(string) error{
		"api": useAPI, "sigstore": useSigstore, "kms-wrapping": useKMSWrapping,
	}
	if len(os.Args) == 2 && os.Args[1] == "version" {
		printVersions()
		return
	}
	if len(os.Args) != 3 || clients[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: transit-clients api|sigstore|kms-wrapping KEY")
		os.Exit(2)
	}
	if err := clients[os.Args[1]](os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func useAPI(key string) error {
	client, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		return err
	}
	health, err := client.Sys().Health()
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	fmt.Println("health: initialized", health.Initialized, "sealed", health.Sealed)
	seal, err := client.Sys().SealStatus()
	if err != nil {
		return fmt.Errorf("seal status: %w", err)
	}
	fmt.Println("seal status: sealed", seal.Sealed)
	self, err := client.Auth().Token().LookupSelf()
	if err != nil {
		return fmt.Errorf("look up the token: %w", err)
	}
	renewable, err := self.TokenIsRenewable()
	if err != nil {
		return fmt.Errorf("read the token: %w", err)
	}
	fmt.Println("token: renewable", renewable)
	if err := watchToken(client); err != nil {
		return fmt.Errorf("watch the token: %w", err)
	}
	return useLogical(client, key)
}

// watchToken does what programs do that keep their token alive.
func watchToken(client *api.Client) error {
	secret, err := client.Auth().Token().RenewSelf(0)
	if err != nil {
		return err
	}
	watcher, err := client.NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: secret})
	if err != nil {
		return err
	}
	go watcher.Start()
	defer watcher.Stop()
	for {
		select {
		case err := <-watcher.DoneCh():
			if err == nil {
				fmt.Println("watcher: done")
			}
			return err
		case <-watcher.RenewCh():
			fmt.Println("watcher: renewed")
			return nil
		}
	}
}

func useLogical(client *api.Client, key string) error {
	plaintext := base64.StdEncoding.EncodeToString([]byte("text"))
	encrypted, err := client.Logical().Write("transit/encrypt/"+key, map[string]any{"plaintext": plaintext})
	if err != nil {
		return fmt.Errorf("encrypt: %w", err)
	}
	decrypted, err := client.Logical().WriteBytes(
		"transit/decrypt/"+key, fmt.Appendf(nil, `{"ciphertext":%q}`, encrypted.Data["ciphertext"]))
	if err != nil {
		return fmt.Errorf("decrypt: %w", err)
	}
	if decrypted.Data["plaintext"] != plaintext {
		return fmt.Errorf("decrypt: another plaintext")
	}
	fmt.Println("encrypt, decrypt: ok")
	keys, err := client.Logical().List("transit/keys")
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	fmt.Println("list:", keys.Data["keys"])
	read, err := client.Logical().Read("transit/keys/" + key)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	fmt.Println("read:", read.Data["type"])
	absent, err := client.Logical().Read("transit/keys/absent")
	if err != nil || absent != nil {
		return fmt.Errorf("read of an absent key: %v, %w", absent, err)
	}
	fmt.Println("read of an absent key: nothing")
	_, err = client.Logical().Write("secret/data/x", map[string]any{"data": map[string]any{}})
	response, isResponse := err.(*api.ResponseError)
	if !isResponse {
		return fmt.Errorf("write to another engine: %w", err)
	}
	fmt.Println("write to another engine:", response.StatusCode)
	return nil
}

func useSigstore(key string) error {
	signer, err := hashivault.LoadSignerVerifier("hashivault://"+key, crypto.SHA256)
	if err != nil {
		return err
	}
	message := []byte("a container image")
	signature, err := signer.SignMessage(bytes.NewReader(message))
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	fmt.Println("sign: ok")
	if err := signer.VerifySignature(bytes.NewReader(signature), bytes.NewReader(message)); err != nil {
		return fmt.Errorf("verify with the public key: %w", err)
	}
	fmt.Println("verify with the public key: ok")
	remote := options.WithRemoteVerification(true)
	if err := signer.VerifySignature(bytes.NewReader(signature), bytes.NewReader(message), remote); err != nil {
		return fmt.Errorf("verify with Transit: %w", err)
	}
	fmt.Println("verify with Transit: ok")
	if signer.VerifySignature(bytes.NewReader(signature), bytes.NewReader([]byte("another")), remote) == nil {
		return fmt.Errorf("a signature of another message was accepted")
	}
	fmt.Println("verify of another message: refused")
	public, err := signer.PublicKey()
	if err != nil {
		return fmt.Errorf("public key: %w", err)
	}
	fmt.Printf("public key: %T\n", public)
	return nil
}

func useKMSWrapping(key string) error {
	ctx := context.Background()
	wrapper := transit.NewWrapper()
	logger := hclog.New(&hclog.LoggerOptions{Output: os.Stdout, DisableTime: true, Level: hclog.Trace})
	_, err := wrapper.SetConfig(ctx,
		transit.WithMountPath("transit/"), transit.WithKeyName(key), transit.WithLogger(logger))
	if err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	defer wrapper.Finalize(ctx)
	blob, err := wrapper.Encrypt(ctx, []byte("a root key"))
	if err != nil {
		return fmt.Errorf("encrypt: %w", err)
	}
	plaintext, err := wrapper.Decrypt(ctx, &wrapping.BlobInfo{Ciphertext: blob.Ciphertext})
	if err != nil {
		return fmt.Errorf("decrypt: %w", err)
	}
	if string(plaintext) != "a root key" {
		return fmt.Errorf("decrypt: another plaintext")
	}
	keyID, err := wrapper.KeyId(ctx)
	if err != nil {
		return err
	}
	fmt.Println("encrypt, decrypt: ok with key version", keyID)
	return nil
}

func printVersions() {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return
	}
	for _, module := range build.Deps {
		fmt.Println(module.Path, module.Version)
	}
}
