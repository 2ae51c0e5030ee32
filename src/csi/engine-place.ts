/** Where a Transit engine is: a Vault namespace, empty for the root namespace, and a mount path in it. */
export interface EnginePlace {
  readonly vaultNamespace: string
  readonly mount: string
}

/** What a class or a rule says about the place of an engine. */
export interface WantedPlace {
  readonly vaultNamespace?: string | undefined
  readonly mount?: string | undefined
}

/** Returns the place that is meant. `home` is vault.namespace and csi.mount. */
export function placeOf(wanted: WantedPlace, home: EnginePlace): EnginePlace {
  const { vaultNamespace = home.vaultNamespace, mount = home.mount } = wanted
  return { vaultNamespace, mount }
}

/** Identifies a place in the keys of caches. Neither part contains a space. */
export function identifyPlace({ vaultNamespace, mount }: EnginePlace): string {
  return `${vaultNamespace} ${mount}`
}

/**
 * The path of an engine from the root namespace. Vault also accepts a namespace as the beginning of a path
 * (https://openbao.org/docs/concepts/namespaces/), so two places with the same full path are the same engine.
 */
export function fullPathOf({ vaultNamespace, mount }: EnginePlace): string {
  return vaultNamespace === '' ? mount : `${vaultNamespace}/${mount}`
}

/** Removes a trailing slash. Vault's own name for the root namespace, `root`, becomes the empty text. */
export function canonicalNamespace(namespace: string): string {
  const name = namespace.replace(/\/$/, '')
  return name === 'root' ? '' : name
}

/** " in Vault namespace x", for messages; empty for the root namespace. */
export function inVaultNamespace({ vaultNamespace }: EnginePlace): string {
  return vaultNamespace === '' ? '' : ` in Vault namespace ${vaultNamespace}`
}
