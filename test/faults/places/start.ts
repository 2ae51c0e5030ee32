import { createKmsLab } from '../kms-lab.ts'
import { runPlace } from '../run-place.ts'

await runPlace(createKmsLab({ place: 'start', call: 'encrypt', requests: () => true }))
