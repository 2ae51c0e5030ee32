import { writeFileSync } from 'node:fs'

/** core(5): which kinds of memory a core dump contains. This is none. */
const FILTER_FILE = '/proc/self/coredump_filter'

/**
 * Keeps keys and Secrets out of a core dump, which the kernel or systemd-coredump writes to a disk after a crash. systemd forbids
 * core dumps of a unit with LimitCORE=0; a container runtime often allows them. Where procfs is missing or read-only, the dump
 * is as the host configured it.
 */
export function keepMemoryOutOfCoreDumps(file = FILTER_FILE): void {
  try {
    writeFileSync(file, '0')
  } catch {
    // The program works without it.
  }
}
