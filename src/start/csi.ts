// The bundle of `transit-bridge csi`: it contains no other command.
import '../commands/cli/process/process-exit.ts'
import { csiEntry } from '../commands/servers.ts'
import { start } from './command-line.ts'

if (import.meta.main) void start({ csi: csiEntry })
