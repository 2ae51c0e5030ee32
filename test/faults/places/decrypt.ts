import { createKmsLab } from '../kms-lab.ts'
import { runPlace } from '../run-place.ts'

const requests = (_method: string, path: string) => path.includes('/decrypt/')

await runPlace(createKmsLab({ place: 'decrypt', call: 'decrypt', requests }))
