//! A share of a gauge that sums over many: of each lane, say.
//!
//! In: what its owner has of something. Out: the sum over all owners. Invariant: what belongs to an owner that is gone, however it
//! went, is not in the sum.

use prometheus::IntGauge;

/// What one owner has; dropping it takes that out of the sum.
#[derive(Debug)]
pub struct Share {
    gauge: IntGauge,
    amount: i64,
}

impl Share {
    /// Nothing yet.
    #[must_use]
    pub fn of(gauge: &IntGauge) -> Self {
        Self { gauge: gauge.clone(), amount: 0 }
    }

    /// Has `amount` more.
    pub fn add(&mut self, amount: usize) {
        self.set_to(self.amount + amount as i64);
    }

    /// Has `amount` from now on.
    pub fn set(&mut self, amount: usize) {
        self.set_to(amount as i64);
    }

    /// Hands `amount` of it over to a share of its own.
    #[must_use]
    pub fn take(&mut self, amount: usize) -> Self {
        let amount = self.amount.min(amount as i64);
        self.amount -= amount;
        Self { gauge: self.gauge.clone(), amount }
    }

    fn set_to(&mut self, amount: i64) {
        self.gauge.add(amount - self.amount);
        self.amount = amount;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.gauge.sub(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_owner_had_goes_with_it() {
        let gauge = IntGauge::new("rows", "help").unwrap();
        let (mut first, mut second) = (Share::of(&gauge), Share::of(&gauge));
        first.add(3);
        second.add(5);
        let on_its_way = first.take(2);
        first.add(1);
        assert_eq!(gauge.get(), 9);
        drop(second);
        assert_eq!(gauge.get(), 4);
        first.set(0);
        assert_eq!(gauge.get(), 2);
        drop(on_its_way);
        assert_eq!(gauge.get(), 0);
    }
}
