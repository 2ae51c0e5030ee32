import type { Report } from './report.ts'

/** Why a report is not ok, each as "3 unreadable" or a sentence; empty if it is. */
export function listFaults(report: Report): readonly string[] {
  const { plain, unreadable, unproven, withoutProvider = 0, gaps } = report
  const counts: readonly (readonly [number, string])[] = [
    [plain, 'in plaintext'],
    [unreadable, 'unreadable'],
    [unproven, 'not proved'],
    [withoutProvider, 'without a provider in --encryption-config'],
  ]
  return [
    ...counts.flatMap(([count, what]) =>
      count === 0 ? [] : [`${count.toLocaleString('en')} ${what}`],
    ),
    ...gaps,
  ]
}
