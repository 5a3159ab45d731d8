// A thread of execution that goes on only when it is switched to: a stack of its own and the registers that calls keep.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace host {

struct Fiber;
extern "C" void switch_stack(void** from, void* to);

struct Fiber {
    /// Checked builds need this much for the deepest kernel.
    static constexpr size_t STACK = 64 << 10;

    void* stack_pointer = nullptr;
    std::unique_ptr<char[]> stack;

    /// Makes the fiber begin at `start`, which must never return.
    void prepare(void (*start)()) {
        if (!stack) {
            stack.reset(new char[STACK]);
        }
        uintptr_t top = (reinterpret_cast<uintptr_t>(stack.get()) + STACK) & ~uintptr_t(15);
        void** frame = reinterpret_cast<void**>(top);
#if defined(__x86_64__)
        // As if `start` had been called: its frame begins 8 bytes off a multiple of 16.
        *--frame = nullptr;
        *--frame = reinterpret_cast<void*>(start);
        frame -= 6;
#elif defined(__aarch64__)
        frame -= 20;
        frame[11] = reinterpret_cast<void*>(start);
#else
#error "fiber.h: write switch_stack for this processor"
#endif
        stack_pointer = frame;
    }
};

/// Leaves `from` where it is and goes on with `to`.
inline void switch_fiber(Fiber& from, Fiber& to) { switch_stack(&from.stack_pointer, to.stack_pointer); }

}  // namespace host

#if defined(__x86_64__)
asm(R"(
    .text
    .globl switch_stack
    .type switch_stack, @function
switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
#elif defined(__aarch64__)
asm(R"(
    .text
    .globl switch_stack
    .type switch_stack, %function
switch_stack:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");
#endif
