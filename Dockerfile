# The image of transit-bridge: Node.js and the program, without a shell or a package manager.
#
#   docker buildx build --platform linux/amd64,linux/arm64 -t transit-bridge:0.1.0 \
#     --build-arg SOURCE=URL_OF_THE_REPOSITORY --build-arg REVISION="$(git rev-parse HEAD)" .
#
# The image contains the Node.js of package-lock.json, with its integrity hash; the builder provides npm and the libraries
# that Node.js needs (glibc, libstdc++, libatomic). To build reproducible images, pin the builder by digest:
# --build-arg BUILDER=node:26.10.0-bookworm-slim@sha256:…
ARG BUILDER=node:26.10.0-bookworm-slim

FROM ${BUILDER} AS dependencies
WORKDIR /source
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund

FROM dependencies AS build
COPY . .
RUN npm run --silent build:image /image

FROM scratch
ARG SOURCE=""
ARG REVISION=""
COPY --from=build /image /
LABEL org.opencontainers.image.title="transit-bridge" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}"
ENV MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=16384 MALLOC_MMAP_MAX_=4096
# The chart sets runAsUser 0 because host folders belong to root.
USER 65532:65532
ENTRYPOINT ["/usr/bin/node", "--disable-sigusr1", "--min-semi-space-size=2", "--max-semi-space-size=8", "--max-old-space-size=80", "/app/dist/transit-bridge.cjs"]
