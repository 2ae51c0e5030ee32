// A HashiCorp Vault for tests: the core of the community edition, with the engines and logins that
// transit-bridge uses, and the part of `vault server` that reads a configuration file and serves it.
//
//	vault server -config=FILE    serves until SIGTERM; SIGHUP reads certificate files again
//	vault version
//
// It exists because no registry that the tests can reach carries a Vault binary. The whole `vault`
// command does not build from published modules; its core does.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-secure-stdlib/reloadutil"
	jwt "github.com/hashicorp/vault-plugin-auth-jwt"
	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	"github.com/hashicorp/vault/audit"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/credential/cert"
	"github.com/hashicorp/vault/builtin/logical/transit"
	"github.com/hashicorp/vault/command/server"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/physical/raft"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical"
	"github.com/hashicorp/vault/vault"
)

func main() {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "version":
		fmt.Println("Vault v" + moduleVersion() + " (core, built for tests)")
	case len(os.Args) == 3 && os.Args[1] == "server" && strings.HasPrefix(os.Args[2], "-config="):
		if err := serve(strings.TrimPrefix(os.Args[2], "-config=")); err != nil {
			log.Fatal(err)
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: vault server -config=FILE | vault version")
		os.Exit(2)
	}
}

func serve(file string) error {
	config, err := server.LoadConfigFile(file)
	if err != nil {
		return err
	}
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: os.Stdout})
	core, err := newCore(config, logger)
	if err != nil {
		return err
	}
	reload, err := listen(core, config, logger)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	for received := range signals {
		if received != syscall.SIGHUP {
			return core.Shutdown()
		}
		for _, again := range reload {
			if err := again(); err != nil {
				logger.Error("cannot reload", "error", err)
			}
		}
	}
	return nil
}

func newCore(config *server.Config, logger hclog.Logger) (*vault.Core, error) {
	backend, err := raft.NewRaftBackend(config.Storage.Config, logger.Named("storage.raft"))
	if err != nil {
		return nil, err
	}
	return vault.NewCore(&vault.CoreConfig{
		RawConfig:          config,
		Physical:           backend,
		HAPhysical:         backend.(physical.HABackend),
		StorageType:        config.Storage.Type,
		RedirectAddr:       config.Storage.RedirectAddr,
		ClusterAddr:        config.Storage.ClusterAddr,
		DisableMlock:       true,
		Logger:             logger,
		BuiltinRegistry:    builtins{},
		AuditBackends:      map[string]audit.Factory{"file": audit.NewFileBackend},
		LogicalBackends:    map[string]logical.Factory{"transit": transit.Factory},
		CredentialBackends: credentials,
	})
}

// listen opens every listener of the configuration and returns what reads its certificates again.
func listen(core *vault.Core, config *server.Config, logger hclog.Logger) ([]reloadutil.ReloadFunc, error) {
	var reload []reloadutil.ReloadFunc
	var clusterAddresses []*net.TCPAddr
	for _, listener := range config.Listeners {
		opened, _, again, err := server.NewListener(listener, os.Stdout, nil)
		if err != nil {
			return nil, err
		}
		if again != nil {
			reload = append(reload, again)
		}
		address, err := clusterAddress(listener)
		if err != nil {
			return nil, err
		}
		clusterAddresses = append(clusterAddresses, address)
		handler := vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core, ListenerConfig: listener})
		web := &http.Server{Handler: handler, ErrorLog: logger.StandardLogger(nil)}
		go func() { logger.Info("listener ended", "error", web.Serve(opened)) }()
	}
	core.SetClusterListenerAddrs(clusterAddresses)
	core.SetClusterHandler(vaulthttp.Handler.Handler(&vault.HandlerProperties{
		Core:           core,
		ListenerConfig: config.Listeners[0],
	}))
	return reload, nil
}

// clusterAddress is what the listener names, by default the next port, as in `vault server`.
func clusterAddress(listener *configutil.Listener) (*net.TCPAddr, error) {
	if listener.ClusterAddress != "" {
		return net.ResolveTCPAddr("tcp", listener.ClusterAddress)
	}
	address, err := net.ResolveTCPAddr("tcp", listener.Address)
	if err == nil {
		address.Port++
	}
	return address, err
}

var credentials = map[string]logical.Factory{
	"approle":    approle.Factory,
	"cert":       cert.Factory,
	"jwt":        jwt.Factory,
	"kubernetes": kubernetes.Factory,
}

// builtins lists for Vault's plugin catalog what is compiled in.
type builtins struct{}

func (builtins) Get(name string, kind consts.PluginType) (func() (interface{}, error), bool) {
	factory, found := credentials[name]
	if kind == consts.PluginTypeSecrets && name == "transit" {
		factory, found = transit.Factory, true
	}
	return func() (interface{}, error) { return factory, nil }, found
}

func (builtins) Contains(name string, kind consts.PluginType) bool {
	_, found := builtins{}.Get(name, kind)
	return found
}

func (builtins) Keys(kind consts.PluginType) []string {
	switch kind {
	case consts.PluginTypeCredential:
		return []string{"approle", "cert", "jwt", "kubernetes"}
	case consts.PluginTypeSecrets:
		return []string{"transit"}
	default:
		return nil
	}
}

func (builtins) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, builtins{}.Contains(name, kind)
}

func (builtins) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }

func moduleVersion() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/hashicorp/vault" {
			return strings.TrimPrefix(module.Version, "v")
		}
	}
	return "unknown"
}
