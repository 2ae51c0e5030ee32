const IN_FLIGHT = 32
const TRIES = 3

export interface LostOptions {
  readonly count: number
  /** Decrypts what is at a place; returns whether it is the right plaintext. Rejects if it cannot be decrypted. */
  readonly decrypt: (place: number) => Promise<boolean>
  readonly onFault: (kind: 'wrong plaintext' | 'lost ciphertext', message: string) => void
}

/** Decrypts everything that was handed out. Returns how much of it decrypted to its plaintext. */
export async function countRight({ count, decrypt, onFault }: LostOptions): Promise<number> {
  let next = 0
  let right = 0
  const check = async () => {
    for (let place = next++; place < count; place = next++) {
      try {
        if (await tryOften(() => decrypt(place))) right += 1
        else onFault('wrong plaintext', `at the end: record ${String(place)}`)
      } catch (error) {
        const words = error instanceof Error ? error.message : String(error)
        onFault('lost ciphertext', `record ${String(place)}: ${words}`)
      }
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, check))
  return right
}

/** A busy machine may be too slow for a call. */
async function tryOften<T>(run: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await run()
    } catch (error) {
      if (tries === TRIES) throw error
    }
  }
}
