/** The body of a server's JSON answer, which a test reads as it expects it to be: a wrong guess fails the test. */
// oxlint-disable-next-line typescript/no-explicit-any
export type JsonBody = any
