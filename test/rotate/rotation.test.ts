import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { test, type Test } from 'tap'

import { KeyVersions } from '../../src/storage/key-versions.ts'
import { Rotation, type RotationActions } from '../../src/rotate/rotation.ts'
import { RotationState } from '../../src/rotate/state.ts'
import { StateFile } from '../../src/files/state-file.ts'
import { raiseVersion } from '../../src/commands/rotate/raise-version.ts'
import { formatNeeded, formatRotationPlan } from '../../src/rotate/text.ts'
import { systemClock } from '../../src/time/clock.ts'
import { BridgeError } from '../../src/errors.ts'
import { readingOf } from '../convergence/named.ts'
import { reportOf } from './report.ts'
import type { AdministeredKey, KeyAdmin } from '../../src/operator/key-admin.ts'

function keyOf(latestVersion: number): AdministeredKey {
  const numbers = Array.from({ length: latestVersion }, (_none, index) => index + 1)
  return {
    name: 'k',
    type: 'aes256-gcm96',
    latestVersion,
    minDecryptionVersion: 1,
    minEncryptionVersion: 0,
    derived: false,
    softDeleted: false,
    versions: new Map(numbers.map((number) => [number, { createdAt: 1_000 + number }])),
    autoRotateSeconds: 0,
  }
}

const reportAt = (versions: readonly number[]) =>
  reportOf(versions, (version) => new KeyVersions(keyOf(9), 'c').hashOf(version) ?? '')

/** A vault of numbers: what Vault, the API servers and the store are at. */
function fixture(t: Test, given: Partial<RotationActions> = {}) {
  const vault = { vault: 1, servers: 1, stored: 1, rotations: 0, raised: 0 }
  const actions: RotationActions = {
    readKey: () => Promise.resolve(keyOf(vault.vault)),
    versionsOf: (key) => new KeyVersions(key, 'c'),
    rotateKey: () => {
      vault.vault += 1
      vault.rotations += 1
      return Promise.resolve()
    },
    read: () => {
      const hash = new KeyVersions(keyOf(9), 'c').hashOf(vault.servers) ?? ''
      vault.servers = vault.vault
      return Promise.resolve(readingOf(hash))
    },
    rewrite: () => {
      vault.stored = vault.vault
      return Promise.resolve()
    },
    reportEtcd: () => Promise.resolve(reportAt([vault.stored])),
    reportBackups: () => Promise.resolve([]),
    raise: () => {
      vault.raised += 1
      return Promise.resolve()
    },
    ...given,
  }
  const file = new StateFile(join(t.testdir(), 'rotate.json'), RotationState)
  const notes: string[] = []
  const run = async (
    finishOnly = false,
    accepted: readonly string[] = [],
    signal = new AbortController().signal,
  ) => {
    const known = await file.read()
    const state = known ?? {
      version: 1 as const,
      procedure: 'rotate' as const,
      cluster: 'u',
      key: 'transit/k',
      startedAt: 'then',
      step: 'check' as const,
      from: vault.vault,
    }
    return new Rotation({
      actions,
      state,
      file,
      finishOnly,
      demand: {},
      isTarget: (resource) => resource === 'secrets',
      accepted: new Set(accepted),
      patienceMs: 5_000,
      clock: systemClock,
      onStep: (step, words) => notes.push(`${step}: ${words}`),
      onNote: (words) => notes.push(words),
    }).run(signal)
  }
  return { vault, file, notes, run, actions }
}

void test('a signal that comes while the last snapshot is read ends the run before anything is raised', async (t) => {
  const end = new AbortController()
  const { vault, file, run } = fixture(t, {
    reportBackups: () => {
      end.abort()
      return Promise.resolve([])
    },
  })
  await t.rejects(run(false, [], end.signal), { code: 'CANCELLED' })
  t.equal(vault.raised, 0)
  t.ok(await file.read(), 'the same command continues')
})

void test('a completed rotation leaves no state file', async (t) => {
  const { vault, file, run } = fixture(t)
  t.same(await run(), { live: 2, backups: [] })
  t.match(vault, { vault: 2, stored: 2, rotations: 1, raised: 1 })
  t.equal(await file.read(), undefined)
})

for (const broken of ['rewrite', 'reportEtcd', 'reportBackups', 'raise'] as const) {
  void test(`ended in ${broken}, it continues and rotates once`, async (t) => {
    let isBroken = true
    const killed = () => Promise.reject(new BridgeError('CANCELLED', 'killed'))
    const { vault, run, actions } = fixture(t)
    const usual = actions[broken]
    Object.assign(actions, {
      [broken]: (...args: Parameters<typeof usual>) =>
        isBroken ? killed() : (usual as (...all: unknown[]) => Promise<unknown>)(...args),
    })
    await t.rejects(run(), { code: 'CANCELLED' })
    isBroken = false
    await run()
    t.match(vault, { vault: 2, stored: 2, rotations: 1 })
  })
}

void test('if the answer of Vault is lost, the key is read before it is rotated again', async (t) => {
  for (const wasRotated of [true, false]) {
    let isLost = true
    const { vault, run } = fixture(t, {
      rotateKey: () => {
        if (wasRotated || !isLost) {
          vault.vault += 1
          vault.rotations += 1
        }
        const lost = new BridgeError('VAULT_TIMEOUT', 'no answer')
        const answer = isLost ? Promise.reject(lost) : Promise.resolve()
        isLost = false
        return answer
      },
    })
    await run()
    t.match(vault, { vault: 2, stored: 2, rotations: 1 })
  }
})

void test('a rotation that waits says whether it is for Vault or for a file that this host cannot read', async (t) => {
  for (const [code, whom] of [
    ['HOST_UNAVAILABLE', 'this host'],
    ['VAULT_SEALED', 'Vault'],
  ] as const) {
    let isBroken = true
    const { vault, notes, run } = fixture(t, {
      rotateKey: () => {
        if (isBroken) {
          isBroken = false
          return Promise.reject(new BridgeError(code, 'scripted fault'))
        }
        vault.vault += 1
        vault.rotations += 1
        return Promise.resolve()
      },
    })
    await run()
    t.match(vault, { vault: 2, stored: 2, rotations: 1 })
    const waits = notes.filter((note) => note.startsWith('waiting for '))
    t.same(waits, [`waiting for ${whom}: scripted fault`])
  }
})

void test('interrupted after Vault rotated and before that was recorded, it does not rotate again', async (t) => {
  let isBroken = true
  const { vault, run } = fixture(t, {
    rotateKey: () => {
      vault.vault += 1
      vault.rotations += 1
      return isBroken ? Promise.reject(new BridgeError('CANCELLED', 'killed')) : Promise.resolve()
    },
  })
  await t.rejects(run(), { code: 'CANCELLED' })
  isBroken = false
  await run()
  t.match(vault, { vault: 2, stored: 2, rotations: 1 })
})

void test('an existing rotation is completed, and no other started', async (t) => {
  const behind = fixture(t)
  behind.vault.vault = 2
  await behind.run()
  t.match(behind.vault, { vault: 2, stored: 2, rotations: 0 })
  t.match(behind.notes.join(), 'the key already has the new version 2')
  const unfinished = fixture(t)
  Object.assign(unfinished.vault, { vault: 2, servers: 2 })
  await unfinished.run()
  t.match(unfinished.vault, { rotations: 0, stored: 2 })
  t.match(unfinished.notes.join(), '5 objects are not under version 2 yet')
  const asked = fixture(t)
  await asked.run(true)
  t.equal(asked.vault.rotations, 0)
})

void test('what an earlier run verified is verified again', async (t) => {
  const { vault, run, file } = fixture(t)
  Object.assign(vault, { vault: 2, servers: 2, stored: 1 })
  const state = {
    version: 1,
    procedure: 'rotate',
    cluster: 'u',
    key: 'transit/k',
    startedAt: 'then',
  } as const
  await file.write({ ...state, step: 'raise', from: 1, to: 2 })
  await t.rejects(run(), { code: 'NOT_FINISHED', message: /5 of secrets not under version 2;/ })
  t.equal(vault.raised, 0)
  await run()
  t.match(vault, { rotations: 0, stored: 2, raised: 1 })
})

void test('what is still stale after a rewrite is reported, and rewritten by the next run', async (t) => {
  let lags = true
  const { vault, run, file } = fixture(t, {
    rewrite: () => {
      if (!lags) vault.stored = vault.vault
      return Promise.resolve()
    },
  })
  await t.rejects(run(), {
    code: 'NOT_FINISHED',
    message: /must not leave behind: 5 of secrets not under version 2;/,
  })
  t.match(await file.read(), { step: 'rewrite' })
  lags = false
  await run()
  t.match(vault, { rotations: 1, stored: 2 })
})

function text(stream: PassThrough): string {
  const chunks: string[] = []
  for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) chunks.push(String(chunk))
  return chunks.join('')
}

void test('min_decryption_version is raised only after confirmation and if nothing needs older versions', async (t) => {
  const raised: number[] = []
  const key = {
    read: () => Promise.resolve(keyOf(5)),
    raiseMinDecryptionVersion: (version: number) => Promise.resolve(void raised.push(version)),
  } as unknown as KeyAdmin
  const stderr = new PassThrough()
  const asked: string[] = []
  const raise = (
    flag: string | undefined,
    needed: Parameters<typeof raiseVersion>[0]['needed'],
    answer?: boolean,
    isOnlyCluster = true,
    signal = new AbortController().signal,
  ) =>
    raiseVersion({
      needed,
      key,
      terminal: { stderr },
      asked: flag === undefined ? undefined : Number(flag),
      isOnlyCluster,
      signal,
      ask:
        answer === undefined
          ? undefined
          : (question) => Promise.resolve(asked.push(question) > 0 && answer),
    })
  const backups = [{ file: 'b.db', oldest: 3, gaps: [] }]
  await t.rejects(raise('4', { live: 5, backups }), {
    message:
      /b\.db still needs version 3, and its data would become unreadable; nothing was raised/,
  })
  const torn = [{ file: 'c.db', oldest: 9, gaps: ['it has no checksum'] }]
  await t.rejects(raise('2', { live: 5, backups: torn }), {
    code: 'NOT_FINISHED',
    message: /not proved: c\.db: it has no checksum/,
  })
  await raise(undefined, { live: 5, backups: torn }, true)
  t.match(text(stderr), /not raised: c\.db: it has no checksum/)
  t.same(asked, [], 'nothing is asked either')
  await t.rejects(raise('2', { backups: [] }), { message: /etcd was not read/ })
  await raise(undefined, { live: 5, backups })
  t.match(
    text(stderr),
    /raised from 1 to 3: .* pass --finish --yes-raise-min-decryption-version 3 to do it: without --finish, another run creates another key version/,
  )
  await raise(undefined, { live: 5, backups: [] }, false)
  t.match(
    asked[0],
    /data under versions 1 to 4 in other etcd snapshots becomes unreadable until .*, and no etcd snapshot was passed/,
  )
  t.same(raised, [])
  await raise(undefined, { live: 5, backups: [] }, true)
  await raise('3', { live: 5, backups })
  await raise('1', { live: 5, backups })
  t.same(raised, [5, 3])
  for (const [flag, answer] of [
    ['4', undefined],
    [undefined, true],
  ] as const) {
    const aborted = raise(flag, { live: 5, backups: [] }, answer, true, AbortSignal.abort())
    await t.rejects(aborted, { code: 'CANCELLED' }, 'after Ctrl-C or SIGTERM')
  }
  t.same(raised, [5, 3])

  const alone = { live: 5, backups: [] }
  await t.rejects(raise('4', alone, undefined, false), {
    code: 'NOT_FINISHED',
    message: /other clusters may use this key, and Vault does not know; .*--other-cluster/,
  })
  await raise(undefined, alone, undefined, false)
  t.match(
    text(stderr),
    /pass --finish --yes-raise-min-decryption-version 5 to do it: .*; other clusters may/,
  )
  await raise(undefined, alone, false, false)
  t.match(
    asked.at(-1),
    /Data that other clusters encrypted with them becomes unreadable\. Is this the only cluster that uses this key/,
  )
  t.match(text(stderr), /not raised: other clusters may use this key/)
  const other = [{ file: 'other.db', isOther: true, oldest: 2, gaps: [] }]
  await t.rejects(raise('3', { live: 5, backups: other }, undefined, false), {
    message: /other\.db still needs version 2/,
  })
  t.same(raised, [5, 3])
  await raise('2', { live: 5, backups: other }, undefined, false)
  t.same(raised, [5, 3, 2])
  t.match(formatNeeded({ live: 5, backups: other }), 'other.db (another cluster) needs version 2')
  t.match(
    formatNeeded({ live: 5, backups }),
    /etcd needs version 5 and newer\nb\.db needs version 3/,
  )
  const state = {
    version: 1,
    procedure: 'rotate',
    cluster: 'u',
    key: 'k',
    startedAt: 't',
    step: 'wait',
    from: 4,
    to: 5,
  } as const
  t.match(
    formatRotationPlan(state, keyOf(5), false),
    /> 3 wait: .*\n.*\n( {2}. \w+: skipped without --endpoints\n){3}/,
  )
})

void test('a raise that is refused ends a complete rotation, and names --finish, which creates no other version', async (t) => {
  const { run, file, vault } = fixture(t, {
    raise: () => Promise.reject(new BridgeError('NOT_FINISHED', 'b.db still needs version 1')),
  })
  await t.rejects(run(), {
    code: 'NOT_FINISHED',
    message: /^b\.db still needs version 1; the rotation itself is complete: .* --finish/,
  })
  t.equal(await file.read(), undefined)
  await t.rejects(run(true), { code: 'NOT_FINISHED' })
  t.equal(vault.rotations, 1)
})
