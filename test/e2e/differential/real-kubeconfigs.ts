import type { Credentials } from './kubeconfig-files.ts'

const base64 = (text: string) => Buffer.from(text).toString('base64')

/** Kubeconfigs in the shapes that installers and clouds write. */
export function REAL_KUBECONFIGS({ ca, cert, key }: Credentials): readonly string[] {
  const [caData, certData, keyData] = [base64(ca), base64(cert), base64(key)]
  return [
    // kubeadm: /etc/kubernetes/admin.conf.
    `apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: ${caData}\n    server: https://10.0.0.1:6443\n  name: kubernetes\ncontexts:\n- context:\n    cluster: kubernetes\n    user: kubernetes-admin\n  name: kubernetes-admin@kubernetes\ncurrent-context: kubernetes-admin@kubernetes\nkind: Config\npreferences: {}\nusers:\n- name: kubernetes-admin\n  user:\n    client-certificate-data: ${certData}\n    client-key-data: ${keyData}\n`,
    // k3s and RKE2.
    `apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: ${caData}\n    server: https://127.0.0.1:6443\n  name: default\ncontexts:\n- context:\n    cluster: default\n    user: default\n  name: default\ncurrent-context: default\nkind: Config\nusers:\n- name: default\n  user:\n    client-certificate-data: ${certData}\n    client-key-data: ${keyData}\n`,
    // A service account, in JSON.
    JSON.stringify({
      kind: 'Config',
      clusters: [
        { name: 'c', cluster: { server: 'https://api', 'certificate-authority': 'ca.pem' } },
      ],
      users: [{ name: 'u', user: { tokenFile: 'token' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
    // EKS, GKE and others: an exec plugin.
    `apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: "https://a", certificate-authority-data: ${caData}}}]\nusers:\n- name: u\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      command: aws\n      args: [eks, get-token]\n      env: null\n      interactiveMode: IfAvailable\n      provideClusterInfo: false\n`,
    // minikube: extensions and paths.
    `apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority: ca.pem\n    extensions:\n    - extension:\n        last-update: Mon, 02 Jan 2024\n        provider: minikube.sigs.k8s.io\n      name: cluster_info\n    server: https://192.168.49.2:8443\n  name: minikube\ncontexts:\n- context:\n    cluster: minikube\n    namespace: default\n    user: minikube\n  name: minikube\ncurrent-context: minikube\nkind: Config\npreferences: {}\nusers:\n- name: minikube\n  user:\n    client-certificate: cert.pem\n    client-key: key.pem\n`,
    // Rancher and OpenShift: names with slashes and colons, a token.
    `apiVersion: v1\nkind: Config\nclusters:\n- name: "c"\n  cluster:\n    server: "https://rancher/k8s/clusters/c-1"\ncontexts:\n- name: default/api:6443/admin\n  context: {cluster: c, user: admin/api:6443, namespace: default}\ncurrent-context: default/api:6443/admin\nusers:\n- name: admin/api:6443\n  user: {token: "kubeconfig-u:abc"}\n`,
    `apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: "https://127.0.0.1:6443", certificate-authority: ca.pem, tls-server-name: kubernetes}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {token: abc, as: "system:anonymous", as-groups: [a, b], as-uid: "1", as-user-extra: {k: [v]}}}]\n`,
    'apiVersion: v1\nkind: Config\nclusters: null\ncontexts: null\nusers: null\ncurrent-context: ""\n',
    '',
  ]
}
