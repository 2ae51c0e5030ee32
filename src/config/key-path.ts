import { stripSlashes } from '../text/slashes.ts'
import type { Config } from './config.ts'

/** The Transit key as Vault's audit file names it: namespace, mount and name. */
export function keyPath({ vault, transit }: Pick<Config, 'vault' | 'transit'>): string {
  return [vault.namespace ?? '', transit.mount, transit.key]
    .map(stripSlashes)
    .filter((part) => part !== '')
    .join('/')
}
