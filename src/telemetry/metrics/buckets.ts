/** From 0.25 ms, a Status from memory, to 5 s, past the API server's default deadline of 3 s. */
export const LATENCY_BUCKETS: readonly number[] = [
  0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.25, 0.5, 1, 2, 3, 5,
]
