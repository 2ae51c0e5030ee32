import { readFile } from 'node:fs/promises'

/** Resident memory of a process in MiB. */
export function readResidentMemory(pid: number): Promise<number> {
  return readStatus(pid, 'VmRSS')
}

/** Peak resident memory of a process since it started, in MiB. */
export function readPeakMemory(pid: number): Promise<number> {
  return readStatus(pid, 'VmHWM')
}

/** A field of /proc/PID/status (proc(5)). */
async function readStatus(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8')
  const kibibytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]
  if (kibibytes === undefined) throw new Error(`no ${field} of process ${String(pid)}`)
  return Number(kibibytes) / 1024
}

/** CPU time of a process in seconds, user and system (proc(5): fields 14 and 15 of stat). */
export async function readProcessorTime(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
