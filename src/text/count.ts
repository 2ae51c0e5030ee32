/** A number of things for people: "1 local key", "1,234 local keys". */
export function describeCount(count: number, thing: string): string {
  return `${count.toLocaleString('en')} ${thing}${count === 1 ? '' : 's'}`
}
