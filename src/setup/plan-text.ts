import { isStop, type Change, type Plan } from './plan.ts'

const SIGNS = { add: '+', change: '~', remove: '-' } as const

/** A plan for people: the changes, what was too wide, and remarks. */
export function formatPlan({ changes, remarks }: Plan): string {
  const wider = changes.flatMap((change) => change.wider)
  return [
    ...changes.flatMap(formatChange),
    ...wider.map((text) => `warn: ${text}`),
    ...remarks.map(({ level, text }) => `${level}: ${text}`),
    remarks.some(isStop) ? 'stopped: nothing was changed' : summarize(changes),
  ].join('\n')
}

function formatChange({ action, what, details }: Change): readonly string[] {
  return [`${SIGNS[action]} ${what}`, ...details.map((line) => `    ${line}`)]
}

function summarize(changes: readonly Change[]): string {
  if (changes.length === 0) return 'nothing to change'
  const count = (action: Change['action']) =>
    changes.filter((change) => change.action === action).length
  return (['add', 'change', 'remove'] as const)
    .filter((action) => count(action) > 0)
    .map((action) => `${count(action)} to ${action}`)
    .join(', ')
}

/** A plan for programs. */
export function formatPlanJson({ changes, remarks }: Plan): string {
  return JSON.stringify({ changes, remarks }, null, 2)
}
