import { readFileSync } from 'node:fs'

/** A moment that another process, after a restart of the process or of the machine, can compare with its own. */
export interface Moment {
  /** Identifies the boot of the machine. */
  readonly bootId: string
  /** Milliseconds since the boot, with the time in which the machine was suspended. */
  readonly sinceBootMs: number
  /** Milliseconds since 1970. */
  readonly wallMs: number
}

/** The wall clock may be this much behind an earlier moment, as after an adjustment by NTP. */
const TOLERANCE_MS = 60_000

/** Now. Throws what node:fs throws if procfs is not mounted (proc(5), /proc/uptime and /proc/sys/kernel/random/boot_id). */
export function readMoment(): Moment {
  const [seconds] = readFileSync('/proc/uptime', 'latin1').split(' ')
  return {
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim(),
    sinceBootMs: Number(seconds) * 1000,
    wallMs: Date.now(),
  }
}

/**
 * Milliseconds from an earlier moment to a later one. In the same boot the wall clock does not count. After another boot
 * there is nothing else. Undefined if the clock that counts is behind the earlier moment, because then the time is unknown: the
 * time since the boot goes back where a container has its own (time_namespaces(7), lxcfs).
 */
export function timeBetween(earlier: Moment, later: Moment): number | undefined {
  if (earlier.bootId === later.bootId) {
    const passedMs = later.sinceBootMs - earlier.sinceBootMs
    return passedMs < 0 ? undefined : passedMs
  }
  const passedMs = later.wallMs - earlier.wallMs
  return passedMs < -TOLERANCE_MS ? undefined : Math.max(0, passedMs)
}
