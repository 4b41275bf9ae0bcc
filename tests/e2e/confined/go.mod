// The seccomp profile of container runtimes, as data: the module is downloaded, nothing of it is built.
module gpuscale/tests/e2e/confined

go 1.26

require github.com/moby/profiles/seccomp v0.3.0
