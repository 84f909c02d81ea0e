"""An event listener for supervisord: kills a program whose health check fails, so that it is started again.

Usage: health.py PROGRAM URL FAILURES. The check is the one of the installation guide: anything but 200 and
"OK" within two seconds is a failure.
"""

import os
import sys
import urllib.request

from supervisor import childutils


def is_healthy(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200 and answer.read(64).startswith(b'OK')
    except (OSError, ValueError):
        return False


def main(program, url, allowed):
    rpc = childutils.getRPCInterface(os.environ)
    failed = 0
    while True:
        childutils.listener.wait(sys.stdin, sys.stdout)
        if rpc.supervisor.getProcessInfo(program)['statename'] != 'RUNNING' or is_healthy(url):
            failed = 0
        else:
            failed += 1
            sys.stderr.write('%s: no OK from %s, %d of %d\n' % (program, url, failed, allowed))
            if failed >= allowed:
                failed = 0
                rpc.supervisor.signalProcess(program, 'KILL')
        sys.stderr.flush()
        childutils.listener.ok(sys.stdout)


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
