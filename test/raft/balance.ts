// A balancer in front of the cluster, as HAProxy: node test/raft/balance.ts PORT TARGET...
import { Balancer } from '../real/faults/balancer.ts'

const [port, ...targets] = process.argv.slice(2)
await Balancer.start(targets, { port: Number(port), checks: true })
