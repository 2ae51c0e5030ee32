import * as v from 'valibot'

/** sockaddr_un.sun_path has 108 bytes, including the terminating zero: unix(7). */
const MAX_PATH_BYTES = 107
// eslint-disable-next-line no-control-regex -- control characters are what it rejects
const ABSOLUTE = /^\/[^\x00-\x1f\x7f]*[^/\x00-\x1f\x7f]$/
const MODE = /^0[0-7]{2}0$/
/** The portable names of useradd(8), and upper case, which names from a directory service can have. */
const GROUP = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$|^\d{1,10}$/
/** 2^32 - 1 means "no change" to chown(2). */
const MAX_GID = 4_294_967_294

/** A key whose value is the path of a unix socket. */
export function socketPath(meaning: string) {
  return v.pipe(
    v.string(),
    v.check((text) => !/^unix:/i.test(text), 'must be a path, not a URL; remove unix://'),
    v.regex(
      ABSOLUTE,
      'is not an absolute path to a socket; it must start with / and not end with /',
    ),
    v.check(
      (text) => Buffer.byteLength(text) <= MAX_PATH_BYTES,
      `is too long for a socket; Linux allows at most ${MAX_PATH_BYTES} bytes`,
    ),
    v.description(`${meaning} An absolute path of at most ${MAX_PATH_BYTES} bytes.`),
    v.metadata({ kind: 'file' }),
  )
}

/** Permission bits as octal text, because YAML reads 0600 as the number 600. */
export const socketMode = v.pipe(
  v.string(explainModeType),
  v.regex(MODE, explainMode),
  v.description(
    'Permission bits of the socket: four octal digits in quotes. The last must be 0, because ' +
      'anyone who can open the socket can decrypt Secrets.',
  ),
  v.metadata({ kind: 'octal text' }),
  v.transform((text) => Number.parseInt(text, 8)),
)

function explainModeType({ input }: v.BaseIssue<unknown>): string {
  if (typeof input !== 'number') return 'must be four octal digits in quotes; write "0600"'
  return `is read by YAML as a number; put it in quotes: "${guessMode(input)}"`
}

function explainMode({ input }: v.BaseIssue<unknown>): string {
  return typeof input === 'string' && /^0[0-7]{3}$/.test(input)
    ? 'is {value}, which allows every user of the host; write "0600", or "0660" with kms.socketGroup'
    : 'must be four octal digits in quotes, not {value}; write "0600"'
}

/** YAML reads 0600 as 600, and 0o600 as 384: the interpretation that is an allowed mode was meant. */
function guessMode(given: number): string {
  const readings = [`0${given}`, given.toString(8).padStart(4, '0')]
  return readings.find((text) => MODE.test(text)) ?? '0600'
}

/** A group by name or by number. */
export const socketGroup = v.pipe(
  v.union([
    v.pipe(
      v.string(),
      v.regex(GROUP, 'is neither a group name nor a gid'),
      v.check(isGid, 'is not a gid'),
    ),
    v.pipe(
      v.number(),
      v.integer('is not a gid'),
      v.minValue(0, 'is not a gid'),
      v.maxValue(MAX_GID, 'is not a gid'),
    ),
  ]),
  v.description('Group that owns the socket, by name or gid. By default the group of the process.'),
  v.metadata({ kind: 'name or number' }),
  v.transform((given) => (/^\d+$/.test(String(given)) ? Number(given) : given)),
)

function isGid(text: string): boolean {
  return !/^\d+$/.test(text) || Number(text) <= MAX_GID
}
