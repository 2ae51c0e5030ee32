import { createKmsLab } from '../kms-lab.ts'
import { runPlace } from '../run-place.ts'

const requests = (method: string, path: string) => method === 'GET' && path.includes('/keys/')

await runPlace(createKmsLab({ place: 'refresh', call: 'refresh', requests }))
