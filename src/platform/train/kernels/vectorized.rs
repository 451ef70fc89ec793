//! Loops over values that each stand alone, compiled for the vectors of the machine that runs them.
//!
//! The program is built for any processor of its family, whose smallest vectors hold four values. Wider ones change no result: each value
//! goes through the same operations, each rounded once; sums are taken on lanes whose number the loop says.

/// `vectorized! { fn name(arguments) { body } }` is that function, compiled for AVX-512, for AVX2 and for every processor. What the body calls
/// must be inlined into it to gain by that.
macro_rules! vectorized {
    ($(#[$meta:meta])* $visible:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(unsafe_code)]
        #[allow(clippy::too_many_arguments)]
        $visible fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body($($argument: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512($($argument: $type),*) $(-> $result)? {
                body($($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) $(-> $result)? {
                body($($argument),*)
            }
            use $crate::platform::train::kernels::Vectors;
            match Vectors::here() {
                // SAFETY: `here` gives only what this machine has.
                #[cfg(target_arch = "x86_64")]
                Vectors::Avx512 => unsafe { avx512($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Vectors::Avx2 => unsafe { avx2($($argument),*) },
                Vectors::Portable => body($($argument),*),
            }
        }
    };
}
pub(in crate::platform::train) use vectorized;
