import { createKmsLab } from '../kms-lab.ts'
import { runPlace } from '../run-place.ts'

const requests = (_method: string, path: string) => path.includes('/encrypt/')

await runPlace(createKmsLab({ place: 'encrypt', call: 'encrypt', requests }))
