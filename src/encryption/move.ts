/** The provider before the move to transit-bridge. */
export type OldProvider =
  | { readonly kind: 'aescbc' | 'secretbox' | 'aesgcm' | 'identity' }
  | { readonly kind: 'kms'; readonly name: string; readonly socket: string }

/** The steps of a move in order. `rewrite` has the same file as `write`. */
export const MOVE_STEPS = ['read', 'write', 'rewrite', 'remove'] as const
export type MoveStep = (typeof MOVE_STEPS)[number]

/** `aescbc`, `secretbox`, `aesgcm`, `identity` or `kms:NAME=SOCKET`; undefined for anything else. */
export function parseOldProvider(text: string): OldProvider | undefined {
  if (text === 'aescbc' || text === 'secretbox' || text === 'aesgcm' || text === 'identity') {
    return { kind: text }
  }
  const [, name, socket] = /^kms:([^:=\s]+)=(?:unix:\/\/)?(\/\S+)$/.exec(text) ?? []
  return name === undefined || socket === undefined ? undefined : { kind: 'kms', name, socket }
}

/** What to do with the file of a step, and the next step. */
export function explainStep(step: MoveStep): readonly string[] {
  return [...WHAT_TO_DO[step], NEXT[step]]
}

const WHAT_TO_DO: Readonly<Record<MoveStep, readonly string[]>> = {
  read: [
    'Step 1 of 4, read: every API server can read with transit-bridge; the old provider still writes.',
    'Put this file on every API server and have each load it (restart, or automatic reload within a minute).',
  ],
  write: [
    'Step 2 of 4, write: transit-bridge writes; data of the old provider is still readable.',
    'Only when every API server has loaded the file of step 1. Put this file on every API server.',
  ],
  rewrite: [
    'Step 3 of 4, rewrite: the file is that of step 2. Rewrite the stored data of every resource in it:',
    '  transit-bridge rewrite --encryption-config FILE     (the file of step 2, which the API servers use)',
    'until transit-bridge verify finds no data of the old provider in etcd.',
  ],
  remove: [
    'Step 4 of 4, remove: only transit-bridge reads and writes.',
    'Only when no data of the old provider is left in etcd; otherwise that data becomes unreadable. Keep the keys of the',
    'old provider as long as you keep an etcd snapshot from before the move.',
  ],
}

const NEXT: Readonly<Record<MoveStep, string>> = {
  read: 'Next: --step write.',
  write: 'Next: --step rewrite.',
  rewrite: 'Next: --step remove.',
  remove: 'This is the last step.',
}
