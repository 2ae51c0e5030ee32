import { basename } from 'node:path'

import * as v from 'valibot'

import { ACCEPTED_PLUGINS, type KmsConfig } from '../config.ts'
import { duration } from './duration.ts'
import { toggle, wholeNumber } from './number.ts'
import { socketGroup, socketMode, socketPath } from './socket.ts'
import { clusterId, filePath } from './text.ts'

/** Maximum number of entries in the decrypt cache: they take 10 MiB of the heap that bin/transit-bridge limits to 80 MiB. */
export const MAX_CACHE_ENTRIES = 65_536
/** As many calls as the server has streams (src/grpc/client-bounds.ts, maxStreams). */
const MAX_CALLS_IN_FLIGHT = 4_096

/**
 * The plugin reaches the socket beside the file at /proc/self/fd/NUMBER/NAME.sock, which must fit into the address of a socket
 * (src/grpc/unix-socket.ts).
 */
const MAX_SEALED_NAME_BYTES = 80
const SEALED_FILE =
  'File in which local keys survive a restart of the plugin or of the node, sealed with the node key. It belongs on a ' +
  `local disk that survives a restart, in a folder that only this user can write to. Its name has at most ${MAX_SEALED_NAME_BYTES} bytes. ` +
  'Set both or neither of sealedFile and nodeKeyFile.'

const decryptCache = v.pipe(
  v.strictObject({
    enabled: v.optional(
      toggle(
        'Whether decrypted DEK seeds stay in memory, so that an API server that restarts reads data without a request ' +
          'to Vault for each of them. The API server still needs Vault once when it starts, because it encrypts before it reads.',
      ),
      false,
    ),
    maxEntries: v.optional(
      wholeNumber(
        'How many DEK seeds are kept; the least recently used one is evicted first.',
        1,
        MAX_CACHE_ENTRIES,
      ),
      4096,
    ),
    ttl: v.optional(duration('How long a DEK seed is kept.', '1s', '7d'), '24h'),
  }),
  v.description('Cache of decrypted DEK seeds.'),
  v.transform(({ ttl, ...rest }) => ({ ...rest, ttlMs: ttl })),
)

const localKeys = v.pipe(
  v.strictObject({
    enabled: v.optional(
      toggle(
        'Whether DEK seeds are encrypted with local keys, which Transit encrypts, so that Encrypt and Decrypt need no ' +
          'request to Vault, and API servers can start during an outage of Vault (docs/availability.md).',
      ),
      false,
    ),
    offlineFor: v.optional(
      duration(
        'How long local keys encrypt after Vault last answered; they decrypt for a quarter of that time longer. A refusal ' +
          'by Vault ends both at once.',
        '10m',
        '72h',
      ),
      '4h',
    ),
    maxUses: v.optional(
      wholeNumber(
        'How many DEK seeds a local key encrypts before a new one is created.',
        1,
        1_000_000_000,
      ),
      1_000_000,
    ),
    maxAge: v.optional(
      duration('How long a local key encrypts before a new one is created.', '10m', '7d'),
      '24h',
    ),
    sealedFile: v.exactOptional(
      v.pipe(
        filePath(SEALED_FILE),
        v.check(
          (path) => Buffer.byteLength(basename(path)) <= MAX_SEALED_NAME_BYTES,
          `has a file name that is too long; at most ${MAX_SEALED_NAME_BYTES} bytes`,
        ),
        v.description(SEALED_FILE),
        v.metadata({ kind: 'file' }),
      ),
    ),
    nodeKeyFile: v.exactOptional(
      filePath(
        'File with the node key, 32 bytes that the host provides as a credential (transit-bridge setup node-key). It belongs in ' +
          'memory, not on a disk. Set both or neither of sealedFile and nodeKeyFile.',
      ),
    ),
  }),
  v.check(
    ({ sealedFile, nodeKeyFile }) => (sealedFile === undefined) === (nodeKeyFile === undefined),
    'contains only one of sealedFile and nodeKeyFile; set both or neither',
  ),
  v.description(
    'Keys in memory that encrypt DEK seeds. Transit encrypts them, and can always decrypt everything.',
  ),
  v.transform(({ offlineFor, maxAge, ...rest }) => ({
    ...rest,
    offlineForMs: offlineFor,
    maxAgeMs: maxAge,
  })),
)

/** The section `kms`. */
export const kmsSection = v.pipe(
  v.strictObject({
    socket: v.optional(
      socketPath(
        'Unix socket that the API server calls; its EncryptionConfiguration contains this path with the prefix unix://.',
      ),
      '/run/transit-bridge/kms.sock',
    ),
    socketMode: v.optional(socketMode, '0600'),
    socketGroup: v.exactOptional(socketGroup),
    clusterId: clusterId(
      'Name of the cluster. Never change it: it is part of key ids and of the associated data, so data written under ' +
        'one name is not decrypted under another.',
    ),
    refreshInterval: v.optional(
      duration('How often the key versions are read from Vault.', '1s', '5m'),
      '30s',
    ),
    outageGrace: v.optional(
      duration(
        'How long Status stays ok during an outage of Vault. A refusal by Vault has no grace.',
        '0s',
        '30m',
      ),
      '2m',
    ),
    maxCallsInFlight: v.optional(
      wholeNumber(
        'Maximum number of calls in progress; further calls are refused.',
        1,
        MAX_CALLS_IN_FLIGHT,
      ),
      1024,
    ),
    decryptCache: v.optional(decryptCache, {}),
    localKeys: v.optional(localKeys, {}),
    alsoDecryptClusters: v.optional(
      v.pipe(
        v.array(clusterId('Name of another cluster.')),
        v.description(
          'Other cluster ids whose data is also decrypted, for a restore under a new name.',
        ),
        v.metadata({ kind: 'list of texts' }),
      ),
      [],
    ),
    acceptFrom: v.optional(
      v.pipe(
        v.array(v.picklist(ACCEPTED_PLUGINS)),
        v.description(
          'Other plugins whose data is also decrypted, to replace a plugin without re-encrypting data first.',
        ),
        v.metadata({ kind: 'list of words' }),
      ),
      [],
    ),
    v1beta1: v.optional(
      toggle(
        'Whether KMS v1 is also served on the socket, for clusters with data that was written through it.',
      ),
      false,
    ),
  }),
  v.description('The KMS plugin: transit-bridge kms.'),
  v.transform(({ refreshInterval, outageGrace, ...rest }): KmsConfig => ({
    ...rest,
    refreshIntervalMs: refreshInterval,
    outageGraceMs: outageGrace,
  })),
)
