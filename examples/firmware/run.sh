#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds the firmware with a student's header and runs it in QEMU's model of a board.
#   examples/firmware/run.sh STUDENT.hpp [cortex-m7|cortex-m4] [compiler options, such as -Os]
# Packages of Debian's: gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib qemu-system-arm.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if (($# < 1)) || [[ ! -f $1 ]]; then
    echo "error: expected the header that export_student wrote, found '${1:-}'" >&2
    exit 2
fi
header=$(realpath "$1")
processor=${2:-cortex-m7}
options=("${@:3}")
((${#options[@]})) || options=(-O2)
case $processor in
    cortex-m7) machine=mps2-an500 ;;
    cortex-m4) machine=mps2-an386 ;;
    *)
        echo "error: expected cortex-m7 or cortex-m4, found '$processor'" >&2
        exit 2
        ;;
esac
for tool in arm-none-eabi-g++ qemu-system-arm; do
    command -v $tool > /dev/null || {
        echo "error: $tool is missing; see the packages at the top of $0" >&2
        exit 3
    }
done

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cp "$header" "$build/student.hpp"
arm-none-eabi-g++ -std=c++20 "${options[@]}" -mcpu=$processor -mthumb -mfloat-abi=softfp -mfpu=auto \
    -fno-exceptions -fno-rtti -fno-threadsafe-statics -ffunction-sections -fdata-sections \
    -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wuseless-cast -Wold-style-cast -Wcast-align \
    -Wdouble-promotion -Werror \
    -I"$build" -I"$here/../../include" -nostartfiles -T "$here/memory.ld" -Wl,--gc-sections -Wl,-Map="$build/map" \
    --specs=nano.specs "$here/main.cpp" "$here/board.cpp" -o "$build/firmware.elf"

# Flash holds code, constants and the first values of variables; RAM the variables, without the stack.
arm-none-eabi-size -A "$build/firmware.elf" | awk '
    $1 == ".text" || $1 == ".init_array" || $1 == ".ARM.exidx" || $1 == ".data" { flash += $2 }
    $1 == ".data" || $1 == ".bss" { ram += $2 }
    END { printf "flash bytes %d\nram bytes %d\n", flash, ram }'
# One instruction takes a nanosecond on the board's clock, and its SysTick counts 40 of them.
timeout 120 qemu-system-arm -machine $machine -cpu $processor -icount shift=0 -display none -monitor none -serial none \
    -semihosting-config enable=on,target=native -kernel "$build/firmware.elf" 2>&1
