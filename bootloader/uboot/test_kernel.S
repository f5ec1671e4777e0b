// The kernel of the tests (arm64 Image format of the Linux kernel, Documentation/arm64/booting.rst): prints the kernel's
// command line as the bootloader handed it over, then switches the machine off.
        .text
        b       start
        .long   0
        .quad   0                       // text offset
        .quad   0x1000                  // image size
        .quad   0xa                     // flags: little-endian, 4 KiB pages, anywhere in memory
        .quad   0, 0, 0
        .ascii  "ARM\x64"
        .long   0

start:  mov     x19, x0                 // the device tree
        movz    x20, #0x0900, lsl #16   // PL011
        adr     x1, hello
        bl      print
        ldr     w2, [x19, #4]           // its size, big-endian
        rev     w2, w2
        add     x3, x19, x2
        adr     x4, key
        ldr     x5, [x4]                // "rauc.slo"
        mov     x1, x19
search: cmp     x1, x3
        b.hs    off
        ldr     x6, [x1]
        cmp     x6, x5
        b.eq    found
        add     x1, x1, #1
        b       search
found:  bl      print
off:    adr     x1, end
        bl      print
        movz    w0, #0x8400, lsl #16    // PSCI SYSTEM_OFF
        movk    w0, #0x0008
        hvc     #0
        b       .

print:  ldrb    w6, [x1], #1
        cbz     w6, done
wait:   ldr     w7, [x20, #0x18]        // flags: transmit FIFO full?
        tbnz    w7, #5, wait
        str     w6, [x20]
        b       print
done:   ret

        .balign 8
key:    .ascii  "rauc.slo"
hello:  .asciz  "kernel: "
end:    .asciz  "\r\nkernel: off\r\n"
