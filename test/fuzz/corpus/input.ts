/** What a client sends on one connection. */
export interface Input {
  readonly name: string
  readonly bytes: Buffer
}

export function named(inputs: Readonly<Record<string, Buffer | string>>): readonly Input[] {
  return Object.entries(inputs).map(([name, bytes]) => ({
    name,
    bytes: typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes,
  }))
}
