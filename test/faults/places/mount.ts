import { ALLOW_ALL } from '../../csi/fixture.ts'
import { PodVault } from '../../csi/pod-vault.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { Provider } from '../../real/program/provider.ts'
import { CsiSubject, KEY } from '../csi-subject.ts'
import { Lab } from '../lab.ts'
import { runPlace } from '../run-place.ts'

await runPlace(
  new Lab({
    place: 'mount',
    requests: (_method, path) => path.includes('/decrypt/'),
    startVault: async (tls) => {
      const vault = await PodVault.start(tls === undefined ? {} : { tls })
      await vault.makeKey(KEY)
      return vault
    },
    start: async (stage, vault) => {
      const configuration = {
        vault: stage.vaultSection,
        csi: { audience: 'vault', rules: [{ ...ALLOW_ALL }] },
      }
      const folder = tempFolder('providers')
      const provider = await Provider.start(folder, configuration, undefined, stage.wrap)
      return CsiSubject.create(provider, vault)
    },
  }),
)
