import { existsSync, rmSync } from 'node:fs'
import { eventually } from '../real/host/eventually.ts'
import { outage, WORKS, type Expected, type Fault } from './fault.ts'

const EMPTY: Expected = {
  answer: 'PERMISSION_DENIED',
  health: 'IDENTITY_INVALID',
  says: 'is empty',
}
const POD_TOKEN = { none: "the kubelet passes the pod's token in the call" }
const NOT_BEFORE = { none: 'it can happen only to a program that runs' }

/** The host of the program, or the host of Vault, is at fault. */
export const HOST_FAULTS: readonly Fault[] = [
  {
    name: 'the clock is a day ahead',
    surroundings: 'clock',
    begin: (stage) => stage.setClock('+1d'),
    end: (stage) => stage.setClock('+0'),
    expected: WORKS,
  },
  {
    name: 'the clock is a day behind',
    surroundings: 'clock',
    begin: (stage) => stage.setClock('-1d'),
    end: (stage) => stage.setClock('+0'),
    expected: WORKS,
  },
  {
    name: 'the machine was suspended for ten minutes',
    surroundings: 'clock',
    begin: (stage) => stage.suspend('+10m'),
    end: (stage) => stage.setClock('+0'),
    expected: WORKS,
    at: { start: NOT_BEFORE },
  },
  {
    name: 'a full disk under the log',
    surroundings: 'full disk',
    begin: ({ disk }) => disk.fill(),
    end: ({ disk }) => disk.makeRoom(),
    expected: WORKS,
  },
  {
    name: 'a reader of the log that has stopped',
    surroundings: 'stuck log',
    begin: ({ pipe }) => pipe.block(),
    end: ({ pipe }) => pipe.drain(),
    expected: WORKS,
  },
  {
    name: 'no free file descriptor (EMFILE)',
    surroundings: 'proxy',
    begin: (stage) => stage.limitFiles(),
    end: (stage) => stage.allowFiles(),
    expected: outage('VAULT_UNREACHABLE', 'too many files are open in this process'),
    // The token file cannot be opened either.
    at: {
      start: { none: 'Node.js itself does not start' },
      login: { health: 'HOST_UNAVAILABLE' },
    },
  },
  {
    name: 'the socket file is removed',
    surroundings: 'proxy',
    begin: ({ program }) => rmSync(program.socket),
    end: async ({ program: { socket } }) => {
      await eventually('the socket to be back', () => existsSync(socket))
    },
    expected: { ...WORKS, log: 'the socket was gone from its path' },
    at: { start: NOT_BEFORE },
  },
  {
    name: 'the token file is empty for a moment, while it is replaced',
    surroundings: 'proxy',
    begin: (stage) => stage.emptyTokenFile(),
    end: (stage) => stage.writeTokenFile(),
    expected: WORKS,
    at: { start: EMPTY, login: EMPTY, mount: POD_TOKEN },
  },
  {
    name: "Vault's audit device is blocked",
    surroundings: 'proxy',
    begin: ({ audit }) => audit.block(),
    end: ({ audit }) => audit.unblock(),
    expected: outage('VAULT_TIMEOUT', 'did not answer'),
  },
]
