/** A time for people: "14:03:05 UTC", with the date if that is not today's: "2026-01-02 14:03:05 UTC". */
export function formatUtc(milliseconds: number, now: number): string {
  const [date, time] = splitIso(milliseconds)
  return date === splitIso(now)[0] ? `${time} UTC` : `${date} ${time} UTC`
}

function splitIso(milliseconds: number): readonly [string, string] {
  const iso = new Date(milliseconds).toISOString()
  return [iso.slice(0, 10), iso.slice(11, 19)]
}
