// The bundle of `transit-bridge kms`: it contains no other command.
import '../commands/cli/process/process-exit.ts'
import { kmsEntry } from '../commands/servers.ts'
import { start } from './command-line.ts'

if (import.meta.main) void start({ kms: kmsEntry })
