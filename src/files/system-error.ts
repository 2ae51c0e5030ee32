import type { ErrorCode } from '../errors.ts'

/** The code of a Node.js error, such as `ENOENT`; undefined for anything else. */
export function systemCodeOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : undefined
}

/** What the process or the host lacks now: the file itself may be good. */
const SHORTAGES: Readonly<Record<string, string>> = {
  EMFILE: 'too many files are open in this process',
  ENFILE: 'too many files are open on this host',
  ENOMEM: 'this host has no memory left',
  EIO: 'the disk reports an error',
}

const REASONS: Readonly<Record<string, string>> = {
  ...SHORTAGES,
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is a directory',
  ENOTDIR: 'part of its path is not a directory',
  ENOSPC: 'the disk is full',
  EROFS: 'the file system is mounted read-only',
  ERR_ENCODING_INVALID_ENCODED_DATA: 'it is not UTF-8 text',
}

/** Whether this user lacks the right to open a file or to change its folder. */
export function isPermissionDenied(thrown: unknown): boolean {
  const code = systemCodeOf(thrown)
  return code === 'EACCES' || code === 'EPERM'
}

/** Why a file cannot be read or written, for the end of a message. */
export function explainFileError(thrown: unknown): string {
  const code = systemCodeOf(thrown)
  return code === undefined ? 'unknown error' : (REASONS[code] ?? code)
}

/** Why the host cannot read any file now; undefined if the reason is another one. */
export function explainShortage(thrown: unknown): string | undefined {
  return SHORTAGES[systemCodeOf(thrown) ?? '']
}

/** The code for a file that cannot be read: `otherwise`, unless the host is at fault and not the file or its setting. */
export function codeOfFileError(thrown: unknown, otherwise: ErrorCode): ErrorCode {
  return explainShortage(thrown) === undefined ? otherwise : 'HOST_UNAVAILABLE'
}
