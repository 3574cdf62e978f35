-- Suspends the fleet for one reason; the first word on a reason stands.
-- reason, detail, by -> 1 newly suspended
return suspend(arg(1), arg(2), arg(3))
