//! The pointwise functions: one row each.
//!
//! A row gives the variant, the name that messages say, and the function that generated code calls, of
//! `shaders/wgsl/lib/pointwise.wgsl` or `activation.wgsl`. `pointwise!` makes each table an enum with `name()` and `wgsl()`.
//! Rows under `operations` are methods of a tensor, by
//! that name, and go into `OPERATIONS`. Rows under `helpers` are what gradients and passes record. The gradient of each row is an arm
//! in `grad/pointwise.rs`.

/// Makes an enum of a table.
macro_rules! pointwise {
    (
        $(#[$about:meta])*
        $Table:ident {
            operations { $($(#[$doc:meta])* $Variant:ident $name:literal $wgsl:literal;)* }
            helpers { $($(#[$helper_doc:meta])* $Helper:ident $helper_name:literal $helper_wgsl:literal;)* }
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum $Table {
            $($(#[$doc])* $Variant,)*
            $($(#[$helper_doc])* $Helper,)*
        }

        impl $Table {
            /// Names of the rows that are methods of a tensor.
            pub(crate) const OPERATIONS: &[&str] = &[$($name),*];

            /// What messages call it.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)*
                    $(Self::$Helper => $helper_name,)*
                }
            }

            /// Its function in WGSL.
            pub(crate) fn wgsl(self) -> &'static str {
                match self {
                    $(Self::$Variant => $wgsl,)*
                    $(Self::$Helper => $helper_wgsl,)*
                }
            }
        }
    };
}

pointwise! {
    /// Functions of one operand.
    Unary {
        operations {
            /// −x
            Neg "neg" "neg";
            /// eˣ
            Exp "exp" "exp_";
            /// Natural logarithm.
            Ln "ln" "log_";
            /// √x
            Sqrt "sqrt" "sqrt_";
            /// 1/x
            Recip "recip" "recip";
            /// Sine of x in radians.
            Sin "sin" "sin_";
            /// Cosine of x in radians.
            Cos "cos" "cos_";
            /// tanh x
            Tanh "tanh" "tanh_";
            /// 2/√π · ∫₀ˣ e^(−t²) dt
            Erf "erf" "erf";
            /// 1/(1+e⁻ˣ)
            Sigmoid "sigmoid" "sigmoid";
            /// max(x, 0)
            Relu "relu" "relu";
            /// x·Φ(x), Φ the normal distribution function.
            Gelu "gelu" "gelu_erf";
            /// x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))).
            GeluTanh "gelu_tanh" "gelu_tanh";
            /// x·sigmoid(x)
            Silu "silu" "silu";
            /// ln(1 + eˣ)
            Softplus "softplus" "softplus";
            /// x·tanh(ln(1 + eˣ))
            Mish "mish" "mish";
            /// x·min(max(x + 3, 0), 6)/6
            HardSwish "hard_swish" "hard_swish";
            /// x²
            Square "square" "square";
            /// |x|
            Abs "abs" "abs_";
            /// −1, 0 or 1
            Sign "sign" "sign_";
            /// The greatest integer that is not above x.
            Floor "floor" "floor_";
            /// The least integer that is not below x.
            Ceil "ceil" "ceil_";
            /// The nearest integer, of two equally near ones the even.
            Round "round" "round_";
        }
        helpers {
            /// x: a copy where a tensor must lie in a certain place.
            Copy "copy" "copy";
            /// x without a gradient.
            Detach "detach" "copy";
            /// The derivative of Gelu, Φ(x) + x·φ(x).
            GeluGrad "gelu" "gelu_erf_grad";
            /// The derivative of GeluTanh.
            GeluTanhGrad "gelu_tanh" "gelu_tanh_grad";
            /// The derivative of Silu, σ + x·σ·(1−σ) with σ = sigmoid(x).
            SiluGrad "silu" "silu_grad";
            /// The derivative of Mish, w + x·sigmoid(x)·(1−w²) with w = tanh(ln(1 + eˣ)).
            MishGrad "mish" "mish_grad";
        }
    }
}

pointwise! {
    /// Functions of two operands; comparisons give 1 or 0.
    Binary {
        operations {
            /// a + b
            Add "add" "add";
            /// a − b
            Sub "sub" "sub";
            /// a · b
            Mul "mul" "mul";
            /// a / b
            Div "div" "div";
            /// aᵇ
            Pow "pow" "pow_";
            /// The greater.
            Max "maximum" "max_";
            /// The lesser.
            Min "minimum" "min_";
            /// a > b
            Greater "greater" "greater";
            /// a ≥ b
            GreaterEqual "greater_equal" "greater_equal";
            /// a < b
            Less "less" "less";
            /// a ≤ b
            LessEqual "less_equal" "less_equal";
            /// a = b
            Equal "equal" "equal";
            /// a where it is above 0, else a · b; b is a number.
            LeakyRelu "leaky_relu" "leaky_relu";
            /// a where it is above 0, else b · (eᵃ − 1); b is a number.
            Elu "elu" "elu";
        }
        helpers {}
    }
}

pointwise! {
    /// Functions of three operands.
    Ternary {
        operations {
            /// b where a is not 0, else c.
            Select "select" "select_";
            /// min(max(a, b), c)
            Clamp "clamp" "clamp_";
        }
        helpers {}
    }
}
