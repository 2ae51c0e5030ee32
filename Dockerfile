# The image of transit-bridge: Node.js and the program, without a shell or a package manager.
#
#   docker buildx build --platform linux/amd64,linux/arm64 -t transit-bridge:0.1.0 .
#
# The image contains the Node.js of package-lock.json, with its integrity hash; the builder provides npm and glibc.
# To build reproducible images, pin the builder by digest: --build-arg BUILDER=node:26-bookworm-slim@sha256:…
ARG BUILDER=node:26.10.0-bookworm-slim

FROM ${BUILDER} AS build
WORKDIR /source
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY . .
# As root, to fill the compile cache for both users that the image can run as.
RUN npm run --silent build && node_modules/.bin/node scripts/build-rootfs.ts /image

FROM scratch
COPY --from=build /image /
LABEL org.opencontainers.image.title="transit-bridge" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_COMPILE_CACHE=/app/dist/compile-cache MALLOC_ARENA_MAX=1
# The chart sets runAsUser 0 because host folders belong to root.
USER 65532:65532
ENTRYPOINT ["/usr/bin/node", "--disable-sigusr1", "--max-semi-space-size=2", "--max-old-space-size=80", "/app/dist/transit-bridge.cjs"]
