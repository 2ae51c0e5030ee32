// Reports how Kubernetes reads a file: kube-apiserver its EncryptionConfiguration, kubectl a kubeconfig, the kubelet a
// static pod manifest, and kube-apiserver the flags in that manifest. Tests compare transit-bridge's readers with it.
//
//	loaders FOLDER < questions
//
// A question is a line {"kind":"encryption"|"kubeconfig"|"manifest","text":BASE64,"context":NAME}; its answer is a line
// {"accepted":BOOL,"error":TEXT,"result":{...}}. The files are written to FOLDER, where a kubeconfig's relative paths
// start.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/spf13/pflag"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	envelopekmsv2 "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/klog/v2"
	kmsservice "k8s.io/kms/pkg/service"
	serveroptions "k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	api "k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/kubelet/config"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
)

type question struct {
	Kind    string `json:"kind"`
	Text    []byte `json:"text"`
	Context string `json:"context"`
}

type answer struct {
	Accepted bool   `json:"accepted"`
	Error    string `json:"error,omitempty"`
	Result   any    `json:"result,omitempty"`
}

func main() {
	silence()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: loaders FOLDER < questions")
		os.Exit(2)
	}
	encryptionconfig.EnvelopeKMSv2ServiceFactory = reachablePlugin
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	out := json.NewEncoder(os.Stdout)
	for {
		var asked question
		if err := in.Decode(&asked); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		result, err := read(asked, os.Args[1])
		told := answer{Accepted: err == nil, Result: result}
		if err != nil {
			told.Error = err.Error()
		}
		if err := out.Encode(told); err != nil {
			log.Fatal(err)
		}
	}
}

// silence keeps klog's lines, one for each file, out of the tests' output.
func silence() {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	_ = flags.Set("logtostderr", "false")
	_ = flags.Set("stderrthreshold", "FATAL")
	klog.SetOutput(io.Discard)
}

func read(asked question, folder string) (any, error) {
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, asked.Text, 0o600); err != nil {
		log.Fatal(err)
	}
	switch asked.Kind {
	case "encryption":
		return readEncryption(file)
	case "kubeconfig":
		return readKubeconfig(file, asked.Context)
	case "manifest":
		return readManifest(asked.Text)
	}
	return nil, fmt.Errorf("unknown kind %q", asked.Kind)
}

// loadConfig is the first half of LoadEncryptionConfig, whose own result does not show what was read.
//
//go:linkname loadConfig k8s.io/apiserver/pkg/server/options/encryptionconfig.loadConfig
func loadConfig(file string, reload bool) (*apiserver.EncryptionConfiguration, string, error)

type rule struct {
	Resources []string   `json:"resources"`
	Providers []provider `json:"providers"`
}

type provider struct {
	Kind string   `json:"kind"`
	Keys []string `json:"keys,omitempty"`
	KMS  *kms     `json:"kms,omitempty"`
}

type kms struct {
	APIVersion string  `json:"apiVersion"`
	Name       string  `json:"name"`
	Endpoint   string  `json:"endpoint"`
	TimeoutMs  float64 `json:"timeoutMs"`
	CacheSize  *int32  `json:"cacheSize"`
}

func readEncryption(file string) (any, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if _, err := encryptionconfig.LoadEncryptionConfig(ctx, file, true, "loaders"); err != nil {
		return nil, err
	}
	config, _, err := loadConfig(file, true)
	if err != nil {
		return nil, err
	}
	rules := []rule{}
	for _, each := range config.Resources {
		one := rule{Resources: each.Resources, Providers: []provider{}}
		for _, each := range each.Providers {
			one.Providers = append(one.Providers, describeProvider(each))
		}
		rules = append(rules, one)
	}
	return rules, nil
}

func describeProvider(each apiserver.ProviderConfiguration) provider {
	names := func(keys []apiserver.Key) []string {
		var found []string
		for _, key := range keys {
			found = append(found, key.Name)
		}
		return found
	}
	switch {
	case each.AESGCM != nil:
		return provider{Kind: "aesgcm", Keys: names(each.AESGCM.Keys)}
	case each.AESCBC != nil:
		return provider{Kind: "aescbc", Keys: names(each.AESCBC.Keys)}
	case each.Secretbox != nil:
		return provider{Kind: "secretbox", Keys: names(each.Secretbox.Keys)}
	case each.KMS != nil:
		return provider{Kind: "kms", KMS: &kms{
			APIVersion: each.KMS.APIVersion,
			Name:       each.KMS.Name,
			Endpoint:   each.KMS.Endpoint,
			TimeoutMs:  float64(each.KMS.Timeout.Duration) / float64(time.Millisecond),
			CacheSize:  each.KMS.CacheSize,
		}}
	}
	return provider{Kind: "identity"}
}

// reachablePlugin makes the connection as kube-apiserver does, with its checks, and then answers without a plugin: the
// real service would wait for one until its timeout.
func reachablePlugin(ctx context.Context, endpoint, name string, timeout time.Duration) (kmsservice.Service, error) {
	if _, err := envelopekmsv2.NewGRPCService(ctx, endpoint, name, timeout); err != nil {
		return nil, err
	}
	return plugin{}, nil
}

type plugin struct{}

func (plugin) Status(context.Context) (*kmsservice.StatusResponse, error) {
	return &kmsservice.StatusResponse{Version: "v2", Healthz: "ok", KeyID: "1"}, nil
}

func (plugin) Encrypt(_ context.Context, _ string, data []byte) (*kmsservice.EncryptResponse, error) {
	return &kmsservice.EncryptResponse{Ciphertext: append([]byte{1}, data...), KeyID: "1"}, nil
}

func (plugin) Decrypt(_ context.Context, _ string, request *kmsservice.DecryptRequest) ([]byte, error) {
	return request.Ciphertext[1:], nil
}

type access struct {
	Server     string              `json:"server"`
	CA         string              `json:"ca"`
	Cert       string              `json:"cert"`
	Key        string              `json:"key"`
	Token      string              `json:"token"`
	TokenFile  string              `json:"tokenFile"`
	ServerName string              `json:"serverName"`
	As         string              `json:"as"`
	AsUID      string              `json:"asUid"`
	AsGroups   []string            `json:"asGroups"`
	AsExtra    map[string][]string `json:"asExtra"`
	// What transit-bridge refuses on purpose.
	Insecure bool `json:"insecure"`
	Proxy    bool `json:"proxy"`
	Exec     bool `json:"exec"`
	Provider bool `json:"authProvider"`
	Password bool `json:"password"`
}

func readKubeconfig(file, name string) (any, error) {
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: file}
	overrides := &clientcmd.ConfigOverrides{CurrentContext: name}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return nil, err
	}
	// What kubectl does before its first request: files of certificates are read, and conflicts refused.
	if err := restclient.LoadTLSFiles(config); err != nil {
		return nil, err
	}
	if _, err := restclient.HTTPClientFor(config); err != nil {
		return nil, err
	}
	if _, _, err := restclient.DefaultServerUrlFor(config); err != nil {
		return nil, err
	}
	found := access{
		Server: config.Host, Token: config.BearerToken, TokenFile: config.BearerTokenFile,
		ServerName: config.ServerName,
		As:         config.Impersonate.UserName, AsUID: config.Impersonate.UID,
		AsGroups: config.Impersonate.Groups, AsExtra: config.Impersonate.Extra,
		Insecure: config.Insecure, Proxy: config.Proxy != nil, Exec: config.ExecProvider != nil,
		Provider: config.AuthProvider != nil, Password: config.Username != "" || config.Password != "",
		CA: string(config.CAData), Cert: string(config.CertData), Key: string(config.KeyData),
	}
	return found, nil
}

// tryDecodeSinglePod is how the kubelet reads a static pod manifest.
//
//go:linkname tryDecodeSinglePod k8s.io/kubernetes/pkg/kubelet/config.tryDecodeSinglePod
func tryDecodeSinglePod(
	logger klog.Logger, data []byte, defaults func(klog.Logger, *api.Pod) error,
) (parsed bool, pod *v1.Pod, err error)

type pod struct {
	// Whether it is a pod at all; the kubelet may still refuse it.
	Parsed     bool              `json:"parsed"`
	Containers []container       `json:"containers"`
	HostPaths  map[string]string `json:"hostPaths"`
}

type container struct {
	Name    string   `json:"name"`
	Command []string `json:"command"`
	Args    []string `json:"args"`
	Mounts  []mount  `json:"mounts"`
	// Of kube-apiserver; absent if no word of the command is its name, or if it refuses its flags.
	Flags map[string]string `json:"flags,omitempty"`
}

type mount struct {
	Name    string `json:"name"`
	Inside  string `json:"inside"`
	SubPath string `json:"subPath"`
}

func readManifest(text []byte) (any, error) {
	defaults := func(_ klog.Logger, pod *api.Pod) error {
		pod.UID = "loaders"
		pod.Name += "-node"
		if pod.Namespace == "" {
			pod.Namespace = "default"
		}
		pod.Spec.NodeName = "node"
		return nil
	}
	parsed, found, err := tryDecodeSinglePod(klog.Background(), text, defaults)
	if err != nil {
		return pod{Parsed: parsed}, err
	}
	told := pod{Parsed: true, HostPaths: map[string]string{}}
	for _, volume := range found.Spec.Volumes {
		if volume.HostPath != nil {
			told.HostPaths[volume.Name] = volume.HostPath.Path
		}
	}
	for _, each := range found.Spec.Containers {
		told.Containers = append(told.Containers, describeContainer(each))
	}
	return told, nil
}

func describeContainer(each v1.Container) container {
	var known []kubecontainer.EnvVar
	for _, variable := range each.Env {
		if variable.ValueFrom == nil {
			known = append(known, kubecontainer.EnvVar{Name: variable.Name, Value: variable.Value})
		}
	}
	command, args := kubecontainer.ExpandContainerCommandAndArgs(&each, known)
	one := container{Name: each.Name, Command: command, Args: args, Flags: readFlags(append(command, args...))}
	for _, mounted := range each.VolumeMounts {
		one.Mounts = append(one.Mounts, mount{mounted.Name, mounted.MountPath, mounted.SubPath})
	}
	return one
}

// readFlags parses what follows the name of kube-apiserver as kube-apiserver itself does, and returns the flags of
// encryption that were set.
func readFlags(words []string) map[string]string {
	for index, word := range words {
		if filepath.Base(word) == "kube-apiserver" {
			return parseFlags(words[index+1:])
		}
	}
	return nil
}

func parseFlags(words []string) map[string]string {
	set := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	set.SetNormalizeFunc(cliflag.WordSepNormalizeFunc)
	set.SetOutput(io.Discard)
	named := serveroptions.NewServerRunOptions().Flags()
	for _, each := range named.FlagSets {
		set.AddFlagSet(each)
	}
	if err := set.Parse(words); err != nil || set.NArg() > 0 {
		return nil
	}
	found := map[string]string{}
	for _, name := range []string{"encryption-provider-config", "encryption-provider-config-automatic-reload"} {
		if each := set.Lookup(name); each != nil && each.Changed {
			found[name] = each.Value.String()
		}
	}
	return found
}
