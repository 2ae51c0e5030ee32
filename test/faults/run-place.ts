import { after, end, test, type Test } from 'tap'
import { eventually } from '../real/host/eventually.ts'
import { cellOf, type Expected, type Fault, type Surroundings } from './fault.ts'
import { FAULTS } from './faults.ts'
import type { AnyLab } from './lab.ts'
import { Resources } from './resources.ts'
import type { Stage } from './stage.ts'
import type { Subject } from './subject.ts'

/** Only faults whose name contains this, while a fault is examined. */
const ONLY = process.env['TRANSIT_BRIDGE_FAULT'] ?? ''
const PATIENCE = { timeoutMs: 60_000, intervalMs: 50 }

/** Runs the cells of one place: one program for each kind of surroundings, which meets the faults one after another. */
export async function runPlace(lab: AnyLab): Promise<void> {
  after(() => lab.close())
  const faults = FAULTS.filter(({ name }) => name.includes(ONLY))
  const kinds = Map.groupBy(faults, ({ surroundings }) => surroundings)
  for (const [kind, ofKind] of kinds) await runSurroundings(kind, ofKind, lab)
  end()
}

async function runSurroundings(
  kind: Surroundings,
  faults: readonly Fault[],
  lab: AnyLab,
): Promise<void> {
  const { place } = lab
  let stage: Stage | undefined
  let subject: Subject | undefined
  let resources: Resources | undefined
  for (const fault of faults) {
    const cell = cellOf(fault, place)
    if ('none' in cell) continue
    await test(`${place}: ${fault.name}`, async (t) => {
      stage ??= await lab.open(kind)
      if (place !== 'start') {
        subject ??= await lab.start(stage)
        resources ??= new Resources(subject.program)
        await subject.connect()
      }
      await fault.begin(stage, lab.requests)
      const begunAt = performance.now()
      if (place === 'start') subject = await lab.start(stage)
      if (subject === undefined) throw new Error('no program was started')
      await runCell(t, { fault, cell, stage, subject, lab, begunAt })
      if (place === 'start') await finish(t, subject, kind)
    })
  }
  if (stage === undefined) return
  const opened = stage
  await test(`${place}, ${kind}: nothing was lost, and open files and memory are level`, async (t) => {
    if (subject !== undefined && place !== 'start') {
      await resources?.requireLevel(t)
      await finish(t, subject, kind)
    }
    await opened.close()
  })
}

async function finish(t: Test, subject: Subject, kind: Surroundings): Promise<void> {
  await subject.checkAll()
  const code = await subject.stop()
  const { signal } = await subject.program.program.exited
  // A lookup that has not ended lets only a signal end the process (docs/design.md, "Permissions").
  const isStopped = code === 0 || (kind === 'name server' && signal === 'SIGTERM')
  t.ok(isStopped, `it stops with ${String(code ?? signal)}, and no output contained a secret`)
}

interface CellRun {
  readonly fault: Fault
  readonly cell: Expected
  readonly stage: Stage
  readonly subject: Subject
  readonly lab: AnyLab
  readonly begunAt: number
}

async function runCell(t: Test, run: CellRun): Promise<void> {
  const { fault, stage, subject, lab } = run
  // A program that started during the fault has already logged it.
  const from = lab.place === 'start' ? 0 : subject.program.logLines().length
  const problems = () =>
    subject.program
      .logLines()
      .slice(from)
      .filter(({ level }) => level === 'warn' || level === 'error')
      .map(({ msg }) => String(msg))
  try {
    await lab.bringAbout?.(subject, run.cell)
    if (lab.place === 'refresh') await checkHealth(t, run)
    await checkAnswers(t, run)
    await checkHealth(t, run)
    await checkLog(t, run, problems)
  } finally {
    await fault.end(stage)
  }
  const endedAt = performance.now()
  await eventually('its recovery', () => works(subject), PATIENCE)
  t.comment(`works ${(performance.now() - endedAt).toFixed(0)} ms after the fault`)
  t.ok(subject.program.program.running, 'the process runs')
}

async function checkAnswers(t: Test, { cell, subject }: CellRun): Promise<void> {
  const { answer, others = answer, says = '' } = cell
  const answers = await subject.call()
  const concerned = answers.filter(({ code }) => code === answer)
  t.ok(concerned.length > 0, `${answer} in ${JSON.stringify(answers)}`)
  for (const { message } of concerned) t.ok(message.includes(says), `"${says}" in "${message}"`)
  t.ok(
    answers.every(({ code }) => code === answer || code === others),
    'and no other code',
  )
}

async function checkHealth(t: Test, { cell, subject, begunAt }: CellRun): Promise<void> {
  const { health, says = '' } = cell
  // If it works, that is shown by a check that was made during the fault.
  const isNews = async () => (await subject.checkedAgoMs()) < performance.now() - begunAt
  await eventually(
    `health ${health} with "${says}"`,
    async () => {
      const { reason, message } = await subject.health()
      const isExpected = reason === health && (reason === 'ok' || message.includes(says))
      if (isExpected && (reason !== 'ok' || (await isNews()))) return true
      throw new Error(`it is ${reason}: ${message}`)
    },
    PATIENCE,
  )
  t.pass(`health is ${health}`)
}

/** One line at least has the reason; if the program works, it reports no problem. */
async function checkLog(
  t: Test,
  { cell: { says, log = says }, stage }: CellRun,
  problems: () => string[],
): Promise<void> {
  if (!stage.hasLog) return
  if (log === undefined) {
    t.same(problems(), [], 'the log reports no problem')
    return
  }
  await eventually(
    `"${log}" in the log`,
    () => problems().some((message) => message.includes(log)),
    PATIENCE,
  )
}

async function works(subject: Subject): Promise<boolean> {
  const { reason } = await subject.health()
  const answers = await subject.call()
  return reason === 'ok' && answers.every(({ code }) => code === 'OK')
}
