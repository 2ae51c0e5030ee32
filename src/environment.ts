/** The environment variables of the process, passed in so that tests can set them. */
export type Environment = Readonly<Record<string, string | undefined>>
