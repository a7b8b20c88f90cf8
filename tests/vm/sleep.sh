#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The guest sleeps (S3) with contexts that work.  A boot of its own: the shares do not survive it.
exec tools/vm/run --s3 --timeout 300 --exec 'cp build/host/bin/driver-sleep-test /tmp && cd /tmp && PATH=/tmp:/bin ./driver-sleep-test'
